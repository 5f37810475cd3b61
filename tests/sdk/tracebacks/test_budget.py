"""The size of a list: bounded whatever was raised, and what a reader needs most stays longest."""

import itertools

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hogline.tracebacks import Mechanism, Rules, exception_list
from hogline.wire.values import serialise

LIMIT_BYTES = 256 * 1024
APP = """\
import pathlib
library = {{"__name__": "library"}}
exec(compile(pathlib.Path({library!r}).read_text(), {library!r}, "exec"), library)
{filling}
def down(n):
    if not n:
        raise ValueError({message!r})
    return library["through"](down, n - 1)
{filling}
down({depth})
"""


@pytest.fixture
def raised_through(run_file, tmp_path):
    """An exception whose stack goes to and fro between the app and an installed library, in lines
    of some width.
    """

    def run(depth=10, width=80, message="boom"):
        filling = "\n".join(f"# {number} ".ljust(width, "x") for number in range(6))
        library = tmp_path / "site-packages" / "library.py"
        library.parent.mkdir(exist_ok=True)
        library.write_text(f"{filling}\ndef through(function, n):\n    return function(n)\n{filling}\n")
        return run_file(APP.format(library=str(library), filling=filling, message=message, depth=depth))

    return run


def size_bytes(entries):
    return len(orjson.dumps(entries))


def frames_of(entries):
    return [frame for entry in entries for frame in entry["stacktrace"]["frames"]]


def crash_sites(entries):
    """Return where each exception was raised: the last frame of each, with all its source."""
    return [entry["stacktrace"]["frames"][-1] for entry in entries]


def test_an_ordinary_exception_is_listed_whole(raised_through, listed):
    """The bound is far above it."""
    entries = listed(raised_through(depth=20))
    assert size_bytes(entries) < LIMIT_BYTES / 4
    assert all(len(frame["pre_context"]) == 5 for frame in frames_of(entries)[1:])


def test_the_source_of_libraries_goes_first(raised_through, listed):
    """The app's own lines are what its author reads."""
    error = raised_through(depth=20)
    whole = listed(error)
    entries = listed(error, max_list_bytes=size_bytes(whole) - 1)
    assert crash_sites(entries) == crash_sites(whole)
    for frame, before in zip(frames_of(entries), frames_of(whole), strict=True):
        if frame["in_app"]:
            assert frame == before
        else:
            assert frame == {**before, "pre_context": [], "post_context": []}


def test_then_the_apps_own_source_but_for_the_crash_site(raised_through, listed):
    """Every frame still has its own line."""
    error = raised_through(depth=20)
    whole = listed(error)
    entries = listed(error, max_list_bytes=size_bytes(whole) // 3)
    assert crash_sites(entries) == crash_sites(whole)
    for frame, before in list(zip(frames_of(entries), frames_of(whole), strict=True))[:-1]:
        assert frame == {**before, "pre_context": [], "post_context": []}


def test_then_frames_from_the_middle_and_the_gap_says_how_many(raised_through, listed):
    """Five from the outer end and fifteen from the inner one stay; gaps within gaps are counted."""
    error = raised_through(depth=100)
    whole = frames_of(listed(error, max_frames=1000))
    entries = listed(error, max_list_bytes=16_000)
    frames = frames_of(entries)
    assert len(frames) == 21
    assert [frame["lineno"] for frame in frames[:5]] == [frame["lineno"] for frame in whole[:5]]
    assert [frame["lineno"] for frame in frames[6:]] == [frame["lineno"] for frame in whole[-15:]]
    assert frames[5]["left_out"] == len(whole) - 20
    assert frames[5]["function"] == "<frames left out>"
    assert frames[-1] == whole[-1]


def test_then_long_messages_and_then_all_but_five_frames(raised_through, listed):
    """The exception and its place stay readable."""
    error = raised_through(depth=100, message="m" * 9000)
    whole = frames_of(listed(error, max_frames=1000))
    [entry] = listed(error, max_list_bytes=12_000)
    assert entry["value"] == "m" * 497 + "..."
    assert len(entry["stacktrace"]["frames"]) == 21
    [entry] = listed(error, max_list_bytes=6_000)
    frames = entry["stacktrace"]["frames"]
    assert len(frames) == 6
    assert frames[1]["left_out"] == len(whole) - 5
    assert frames[-1] == whole[-1]


def chain_of(errors):
    for below, above in itertools.pairwise(errors):
        above.__cause__ = below
    return errors[-1]


def test_a_long_chain_of_deep_stacks_keeps_every_exception(raised_through, listed):
    """Fifty exceptions through a hundred frames each: all are named, with their crash sites."""
    error = chain_of([raised_through(depth=60, width=200, message=f"{number} " + "m" * 9000) for number in range(50)])
    entries = listed(error)
    assert size_bytes(entries) <= LIMIT_BYTES
    assert [entry["value"].split()[0] for entry in entries] == [str(number) for number in range(49, -1, -1)]
    assert {frame["context_line"] for frame in crash_sites(entries)} != {None}
    assert all(len(frame["pre_context"]) == 5 for frame in crash_sites(entries))


def test_at_last_the_end_of_the_chain_goes_and_the_caught_one_stays(raised_through, listed):
    """Parents of those that stay are there."""
    error = chain_of([raised_through(depth=3, message=f"number {number}") for number in range(10)])
    whole = listed(error)
    entries = listed(error, max_list_bytes=8_000)
    assert 1 <= len(entries) < 10
    assert size_bytes(entries) <= 8_000
    assert [entry["mechanism"] for entry in entries] == [entry["mechanism"] for entry in whole[: len(entries)]]
    assert crash_sites(listed(error, max_list_bytes=1)) == crash_sites(whole)[:1]


@pytest.mark.parametrize("character", ["é", "漢", "🦔", "\x00", '"', "\ud800"])
def test_the_bound_counts_bytes_of_json(raised_through, character):
    """A character may be six of them."""
    error = chain_of([raised_through(depth=60, message="x") for _ in range(50)])
    each = error
    while each is not None:
        each.args = (character * 20_000,)
        each = each.__cause__
    entries = exception_list(error, Mechanism(), Rules(project_root="/"))
    assert len(serialise({"list": entries})) <= LIMIT_BYTES + 100
    assert len(entries) > 40


@settings(deadline=None)
@given(
    name=st.text(st.characters(codec="utf-8"), max_size=3000),
    message=st.text(max_size=3000),
    repeat=st.integers(1, 200),
    length=st.integers(1, 50),
)
@example(name="\x01", message="\x01", repeat=3000, length=50)
@example(name="漢", message='"', repeat=3000, length=1)
def test_no_list_is_larger_than_the_bound(name, message, repeat, length):
    """The law, for texts of any kind in every place that hostile input can reach."""
    filename = "/srv/" + (name * repeat).replace("\0", "0")
    namespace = {"__name__": name * repeat}
    crash = compile("raise E(text)", filename, "exec")
    errors = []
    for _ in range(length):
        namespace |= {"E": type(f"E{name.replace(chr(0), '0')}" * repeat, (Exception,), {}), "text": message * repeat}
        try:
            exec(crash, namespace)
        except Exception as error:
            errors.append(error)
    entries = exception_list(chain_of(errors), Mechanism(), Rules(project_root="/srv"))
    assert len(serialise({"list": entries})) <= LIMIT_BYTES + 100
    assert entries[0]["stacktrace"]["frames"][-1]["lineno"] == 1
