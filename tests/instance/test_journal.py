"""Properties of the journal: records come back in order, damage is skipped, no processed one
repeats.
"""

import os
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hogline_instance.exceptions import JournalFullError
from hogline_instance.journal import Journal
from hogline_instance.journal.records import Damage, Record, frame, read_segment

PAYLOADS = st.lists(st.binary(max_size=200) | st.just(b"HJ" * 20), max_size=12)


class Commits:
    """Collects the journal's commits."""

    def __init__(self):
        self.records, self.waiters, self.errors = [], [], []
        self._told = threading.Condition()

    def __call__(self, commit):
        with self._told:
            self.records += commit.records
            self.waiters += commit.waiters
            self.errors += [commit.error] if commit.error else []
            self._told.notify_all()

    def wait(self, count):
        with self._told:
            assert self._told.wait_for(lambda: len(self.waiters) >= count, 30)


@contextmanager
def opened(folder, **options):
    commits = Commits()
    how = {"max_bytes": 10**9, "segment_bytes": 300, "commit_window_s": 0, "on_commit": commits, **options}
    journal = Journal(Path(folder), **how)
    try:
        yield journal, commits
    finally:
        journal.close()


def append(folder, payloads):
    """Append to a newly opened journal, as a new process would."""
    with opened(folder) as (journal, commits):
        for number, payload in enumerate(payloads):
            journal.append(payload, number)
        commits.wait(len(payloads))
    return commits


@settings(deadline=None, max_examples=40)
@given(first=PAYLOADS, second=PAYLOADS)
def test_what_was_acknowledged_is_read_back_in_order_across_processes_and_segments(first, second):
    """Waiters come back in the order of their appends, each with its payload on disk."""
    with tempfile.TemporaryDirectory() as folder:
        for payloads in (first, second):
            commits = append(folder, payloads)
            assert commits.waiters == list(range(len(payloads)))
            assert [record.payload for record in commits.records] == payloads
        with opened(folder) as (journal, _):
            assert [record.payload for record in journal.unread()] == first + second
            assert journal.damaged_bytes == 0


@settings(deadline=None, max_examples=40)
@given(payloads=PAYLOADS.filter(bool), data=st.data())
def test_a_restart_takes_up_exactly_behind_the_checkpoint_and_repeats_a_begun_range_under_its_name(payloads, data):
    """A processed range never comes back; one in progress comes back under its name."""
    done = data.draw(st.integers(0, len(payloads)))
    begun = data.draw(st.integers(done, len(payloads)))
    with tempfile.TemporaryDirectory() as folder:
        records = append(folder, payloads).records
        with opened(folder) as (journal, _):
            if done:
                journal.begin(records[done - 1].end)
                journal.finish()
            name = journal.begin(records[begun - 1].end) if begun > done else None
        with opened(folder) as (journal, _):
            unread = list(journal.unread())
            assert [record.payload for record in unread] == payloads[done:]
            if name is not None:
                assert journal.checkpoint.doing == records[begun - 1].end
                assert journal.begin(journal.checkpoint.doing) == name


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(payloads=PAYLOADS, cut=st.integers(0, 4000), flip=st.integers(0, 4000))
def test_a_torn_or_corrupt_segment_costs_the_records_it_hit_and_no_other(payloads, cut, flip):
    """Every byte is either in a record or in damage."""
    whole = b"".join(map(frame, payloads))
    torn = bytearray(whole[: max(0, len(whole) - cut % (len(whole) + 1))])
    if torn:
        torn[flip % len(torn)] ^= 0xFF
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "000000000001.journal")
        path.write_bytes(torn)
        found = list(read_segment(path, 1, 0))
    records = [one for one in found if isinstance(one, Record)]
    damages = [one for one in found if isinstance(one, Damage)]
    assert sum(one.size_bytes for one in damages) + sum(len(frame(one.payload)) for one in records) == len(torn)
    intact, end = [], 0
    for payload in payloads:
        begin, end = end, end + len(frame(payload))
        if end <= len(torn) and not begin <= flip % len(torn) < end:
            intact.append(payload)
    assert [one.payload for one in records] == intact


def test_segments_that_are_dealt_with_are_removed(tmp_path):
    """The folder does not grow with stored records."""
    with opened(tmp_path) as (journal, commits):
        for number in range(20):
            journal.append(b"x" * 200, number)
            commits.wait(number + 1)
        before = journal.size_bytes
        journal.begin(commits.records[-1].end)
        journal.finish()
        assert journal.size_bytes < before / 5
    assert len(list(tmp_path.glob("*.journal"))) <= 2


def test_a_journal_without_room_says_so_and_takes_again_when_there_is(tmp_path):
    """The limit applies to records that are not processed yet."""
    with opened(tmp_path, max_bytes=1000) as (journal, commits):
        for number in range(4):
            journal.append(b"x" * 200, number)
            commits.wait(number + 1)
        with pytest.raises(JournalFullError, match="journal_max_bytes=1000"):
            journal.append(b"x" * 200, None)
        journal.begin(commits.records[-1].end)
        journal.finish()
        journal.append(b"x" * 200, "again")
        commits.wait(5)
    with pytest.raises(JournalFullError, match="shutting down"):
        journal.append(b"late", None)


def test_a_write_that_fails_is_told_to_who_waited_and_the_next_one_stands(tmp_path):
    """No partial write is read back: the segment is truncated and a new one begins."""
    with opened(tmp_path, segment_bytes=10**6) as (journal, commits):
        journal.append(b"one", 1)
        commits.wait(1)
        descriptor = journal._file
        reading = os.open(tmp_path, os.O_RDONLY)
        kept = os.dup(descriptor)
        # A directory cannot be written, so every write to the segment fails from here.
        os.dup2(reading, descriptor)
        os.close(reading)
        journal.append(b"lost", 2)
        commits.wait(2)
        os.close(kept)
        assert len(commits.errors) == 1
        journal.append(b"three", 3)
        commits.wait(3)
    with opened(tmp_path) as (journal, _):
        assert [record.payload for record in journal.unread()] == [b"one", b"three"]


def test_an_unreadable_checkpoint_means_reading_from_the_beginning(tmp_path):
    """A repeated event is deduplicated by its id; a lost one could not be recovered."""
    records = append(tmp_path, [b"one", b"two"]).records
    with opened(tmp_path) as (journal, _):
        journal.begin(records[0].end)
        journal.finish()
    for broken in (b"", b"{", b"[]", b'{"done": 3}'):
        (tmp_path / "checkpoint.json").write_bytes(broken)
        with opened(tmp_path) as (journal, _):
            assert [record.payload for record in journal.unread()] == [b"one", b"two"], broken
