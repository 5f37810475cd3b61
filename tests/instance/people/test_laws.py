"""Laws of people, for any sequence of events (Hypothesis), on SQLite."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hogline_instance.db import Database
from hogline_instance.projects.tables import ProjectRow
from tests.instance.people.batches import Node, line

IDS = ["a", "b", "c", "d", "u", "v", "null"]
ids = st.sampled_from(IDS)
values = st.dictionaries(st.sampled_from(["x", "y", "$browser"]), st.integers(0, 3), max_size=2)
plain = st.tuples(st.sampled_from(["seen", "$set", "$pageview"]), ids, st.just(""), values, values, st.booleans())
joining = st.tuples(
    st.sampled_from(["$identify", "$create_alias", "$merge_dangerously"]), ids, ids, values, st.just({}), st.just(True)
)
sequences = st.lists(plain | joining, min_size=1, max_size=12)
EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def lines_of(sequence):
    """Return the events of *sequence* as lines of a journal, with fixed uuids and times."""
    made = []
    for number, (name, distinct_id, other, set_, set_once, is_full) in enumerate(sequence):
        properties = {"X_set": set_, "X_set_once": set_once}
        if name == "$identify":
            properties["X_anon_distinct_id"] = other
        elif other:
            properties["alias"] = other
        if not is_full and name == "seen":
            properties["X_process_person_profile"] = False
        uid = f"0190a000-0000-7000-8000-{number:012d}"
        made.append(line(name, distinct_id, uid=uid, after_s=number * 40, **properties))
    return made


class Fresh:
    """A node over an empty database of its own."""

    def __init__(self, remembered_max_bytes=1_000_000):
        self._remembered_max_bytes = remembered_max_bytes

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name)
        self._database = Database(f"sqlite:///{path}/p.sqlite3")
        self._database.migrate()
        with self._database.transaction() as session:
            session.add(ProjectRow(id=1, name="p", token="phc_1"))
        return Node(self._database, path / "node", remembered_max_bytes=self._remembered_max_bytes)

    def __exit__(self, *_):
        self._database.close()
        self._folder.cleanup()


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """Leave out the disk's sync, which these laws are not about."""
    monkeypatch.setattr("os.fsync", lambda _handle: None)


@EXAMPLES
@given(
    sequences, st.lists(st.integers(1, 4), min_size=12, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12)
)
def test_people_do_not_depend_on_how_events_were_cut_into_batches_nor_on_replay(sequence, sizes, replays):
    """The rows are the same too; a replay finds its prepared rows, or has lost them."""
    lines = lines_of(sequence)
    with Fresh() as whole, Fresh() as cut:
        rows = whole.run(*lines)
        cut_rows, rest = [], lines
        for size, loses_rows in zip(sizes, replays, strict=True):
            batch, rest = rest[:size], rest[size:]
            if batch:
                cut_rows += cut.run(*batch)
                cut.replay(*batch, keeps_rows=not loses_rows)
        assert cut.people() == whole.people()
        assert cut.warnings() == whole.warnings()
        assert cut.merges() == whole.merges()
        assert set(whole.merges().values()) <= set(whole.people())
        shown = [(row.uuid, row.person_id, row.person_mode, bytes(row.raw_person_properties)) for row in rows]
        assert shown == [
            (row.uuid, row.person_id, row.person_mode, bytes(row.raw_person_properties)) for row in cut_rows
        ]


@EXAMPLES
@given(
    sequences,
    st.lists(st.integers(1, 4), min_size=12, max_size=12),
    st.lists(st.integers(0, 4), min_size=12, max_size=12),
)
def test_people_do_not_depend_on_whom_the_step_remembers(sequence, sizes, chances):
    """It remembers all, a few, or nobody, while people are deleted and split through the API."""
    outcomes = []
    for max_bytes in (1_000_000, 2_500, 0):
        rows, rest = [], lines_of(sequence)
        with Fresh(max_bytes) as node:
            for size, chance in zip(sizes, chances, strict=True):
                batch, rest = rest[:size], rest[size:]
                rows += node.run(*batch) if batch else []
                if chance < 2:
                    node.change_someone(delete=chance == 0)
            shown = [(row.uuid, row.person_id, row.person_mode, bytes(row.raw_person_properties)) for row in rows]
            outcomes.append((shown, node.people(), node.warnings()))
    assert outcomes[0] == outcomes[2]
    assert outcomes[1] == outcomes[2]


@EXAMPLES
@given(sequences)
def test_merging_is_idempotent(sequence):
    """The same events a second time leave the same ids together."""
    lines = lines_of(sequence)
    with Fresh() as node:
        node.run(*lines)
        before = sorted(sorted(person["ids"]) for person in node.people().values())
        node.run(*[each for each in lines if b"$merge_dangerously" not in each and b"$create_alias" not in each])
        identified = sorted(sorted(person["ids"]) for person in node.people().values())
        assert all(any(set(old) <= set(new) for new in identified) for old in before)
        once = node.people()
        merges = [each for each in lines if b'"event":"$merge_dangerously"' in each]
        node.run(*merges)
        after = node.people()
        node.run(*merges)
        assert {uuid: person["ids"] for uuid, person in node.people().items()} == {
            uuid: person["ids"] for uuid, person in after.items()
        }
        assert set(after) <= set(once)


@EXAMPLES
@given(sequences)
def test_no_id_belongs_to_two_people_and_every_event_has_its_person(sequence):
    with Fresh() as node:
        rows = node.run(*lines_of(sequence))
        people = node.people()
        owned = [each for person in people.values() for each in person["ids"]]
        assert len(owned) == len(set(owned))
        assert all(person["ids"] for person in people.values())
        full = {row.distinct_id for row in rows if row.person_mode == "full"}
        assert full <= set(owned)


@EXAMPLES
@given(sequences)
def test_two_identified_people_are_never_joined_except_dangerously(sequence):
    """A step that joins two people leaves at most one of them identified before."""
    # Two people are identified at the start, or most sequences would never get this far.
    sequence = [("$identify", "u", "a", {}, {}, True), ("$identify", "v", "b", {}, {}, True), *sequence]
    with Fresh() as node:
        for (name, *_), each in zip(sequence, lines_of(sequence), strict=True):
            before = node.people()
            node.run(each)
            if name == "$merge_dangerously":
                continue
            for person in node.people().values():
                joined = [old for old in before.values() if old["ids"] <= person["ids"] and old["is_identified"]]
                assert len(joined) <= 1
