"""The entries: which exceptions of a chain are listed, in which order, and what each entry says."""

import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from hogline.tracebacks import Mechanism, Rules, exception_list

RULES = Rules(project_root="/nowhere")


def raised(error, cause=None):
    try:
        if cause is None:
            raise error
        raise error from cause
    except BaseException as caught:
        return caught


def outline(entries):
    """Return the chain as a reader sees it: (value, source, value of the parent)."""
    return [
        (
            entry["value"],
            entry["mechanism"].get("source"),
            entries[entry["mechanism"]["parent_id"]]["value"] if "parent_id" in entry["mechanism"] else None,
        )
        for entry in entries
    ]


def test_the_caught_exception_is_first_and_its_root_cause_last(listed):
    """PostHog names the issue after the first, and a reader scrolls to the last."""
    entries = listed(raised(ValueError("caught"), raised(KeyError("middle"), raised(OSError("root")))))
    assert outline(entries) == [
        ("caught", None, None),
        ("'middle'", "cause", "caught"),
        ("root", "cause", "'middle'"),
    ]
    assert [entry["mechanism"]["exception_id"] for entry in entries] == [0, 1, 2]


def test_an_exception_raised_while_another_was_handled_shows_it_as_context(listed):
    """ "During handling of the above exception, another exception occurred"."""
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")
    except ValueError as error:
        assert outline(listed(error)) == [("second", None, None), ("'first'", "context", "second")]


def test_raise_from_none_ends_the_chain(listed):
    """The author said that the context does not matter."""
    try:
        try:
            raise KeyError("hidden")
        except KeyError:
            raise ValueError("shown") from None
    except ValueError as error:
        assert outline(listed(error)) == [("shown", None, None)]


def test_a_cause_hides_the_context(listed):
    """Python's own traceback does the same."""
    try:
        try:
            raise KeyError("context")
        except KeyError:
            raise ValueError("shown") from OSError("cause")
    except ValueError as error:
        assert outline(listed(error)) == [("shown", None, None), ("cause", "cause", "shown")]


def test_members_of_a_group_come_after_its_cause_each_with_its_own_chain(listed):
    """Depth first, and the group is every member's parent.

    Source: docs/internals/capture-protocol.md#mechanism.
    """
    inner = ExceptionGroup("inner", [ValueError("a"), raised(ValueError("b"), OSError("under b"))])
    group = raised(ExceptionGroup("outer", [inner, KeyError("c")]), OSError("under outer"))
    entries = listed(group)
    outer, inner_name = "outer (2 sub-exceptions)", "inner (2 sub-exceptions)"
    assert outline(entries) == [
        (outer, None, None),
        ("under outer", "cause", outer),
        (inner_name, "member", outer),
        ("a", "member", inner_name),
        ("b", "member", inner_name),
        ("under b", "cause", "b"),
        ("'c'", "member", outer),
    ]
    assert [entry["mechanism"].get("is_exception_group") for entry in entries] == [True, None, True, *[None] * 4]


def test_an_exception_is_listed_once_however_often_it_is_in_the_chain(listed):
    """A cycle ends; a member that is also the cause of another is not repeated."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert outline(listed(first)) == [("first", None, None), ("second", "cause", "first")]
    shared = ValueError("shared")
    assert [value for value, *_ in outline(listed(ExceptionGroup("g", [raised(KeyError("k"), shared), shared])))] == [
        "g (2 sub-exceptions)",
        "'k'",
        "shared",
    ]


def test_a_chain_has_at_most_fifty_entries(listed):
    """The outermost fifty: the caught one is among them."""
    error = ValueError("0")
    for number in range(1, 80):
        error = raised(ValueError(str(number)), error)
    assert [entry["value"] for entry in listed(error)] == [str(number) for number in range(79, 29, -1)]


def test_at_most_a_thousand_members_are_looked_at(listed):
    """A group of a hundred thousand timeouts costs no more than one of a thousand."""
    same = ValueError("same")
    entries = listed(ExceptionGroup("g", [*[same] * 999, ValueError("the thousandth"), ValueError("one too many")]))
    assert [entry["value"] for entry in entries[1:]] == ["same", "the thousandth"]


@st.composite
def trees(draw, depth=4):
    """An exception, with causes, contexts and members at random; every text is its own."""
    below = st.none() if depth == 0 else st.none() | trees(depth=depth - 1)
    members = [] if depth == 0 else draw(st.lists(trees(depth=depth - 1), max_size=4))
    name = str(draw(st.integers(min_value=0)))
    error = ExceptionGroup(name, members) if members else ValueError(name)
    error.__context__ = draw(below)
    if draw(st.booleans()):
        error.__cause__ = draw(below)
    return error


def expected_order(error):
    """The rule of docs/internals/capture-protocol.md#mechanism, written as plainly as possible.

    The trees hold every object once.
    """
    cause = error.__cause__ if error.__suppress_context__ else error.__context__
    yield error
    for below in ([cause] if cause is not None else []) + list(getattr(error, "exceptions", ())):
        yield from expected_order(below)


@settings(deadline=None)
@given(trees())
def test_ids_count_up_depth_first_and_parents_precede_their_children(error):
    """The law behind the cases above, on any tree of causes, contexts and groups."""
    entries = exception_list(error, Mechanism(handled=False), RULES)
    assert [entry["value"] for entry in entries] == [str(each) for each in expected_order(error)][:50]
    mechanisms = [entry["mechanism"] for entry in entries]
    assert [mechanism["exception_id"] for mechanism in mechanisms] == list(range(len(entries)))
    root, *nested = mechanisms
    assert (root["type"], root["handled"]) == ("generic", False)
    assert "parent_id" not in root
    for mechanism in nested:
        assert mechanism["parent_id"] < mechanism["exception_id"]
        assert mechanism["type"] == "chained"
        assert mechanism["source"] in {"cause", "context", "member"}
        assert "handled" not in mechanism


@pytest.mark.parametrize(("handled", "shown"), [(True, {"handled": True}), (False, {"handled": False}), (None, {})])
def test_the_root_says_how_it_was_noticed_and_whether_it_was_handled(listed, handled, shown):
    """Unknown is left out; null would read as false."""
    [entry] = listed(raised(ValueError("x")), Mechanism(type="middleware", handled=handled))
    assert entry["mechanism"] == {"exception_id": 0, "type": "middleware", "synthetic": False, **shown}


class Outer:
    class InnerError(Exception):
        pass


def test_an_entry_is_named_by_the_class_and_its_module(listed):
    """A nested class by its qualified name; builtins have no module."""
    [nested] = listed(raised(Outer.InnerError()))
    assert (nested["type"], nested["module"]) == ("Outer.InnerError", __name__)
    [builtin] = listed(raised(ZeroDivisionError()))
    assert (builtin["type"], builtin["module"]) == ("ZeroDivisionError", None)


class WithClassMessage(Exception):  # noqa: N818 - named by what it has
    message = "the class's own text"


class WithDetail(Exception):  # noqa: N818
    def __init__(self, detail, message=""):
        super().__init__()
        self.detail = detail
        self.message = message


@pytest.mark.parametrize(
    ("error", "value"),
    [
        (ValueError("text"), "text"),
        (ValueError(), ""),
        (ValueError("one", 2), "('one', 2)"),
        (HTTPException(503, "busy"), "503: busy"),
        # posthog-python shows the class's text here, and hides what went wrong.
        (WithClassMessage("what went wrong"), "what went wrong"),
        (WithClassMessage(), "the class's own text"),
        (WithDetail("detail", "message"), "detail"),
        (WithDetail("", "message"), "message"),
        (WithDetail({"no": "text"}), ""),
    ],
    ids=lambda case: case if isinstance(case, str) else type(case).__name__,
)
def test_the_value_is_what_the_exception_says_of_itself(listed, error, value):
    """`str(error)`; only where that is empty, its `detail` or `message`."""
    assert listed(raised(error))[0]["value"] == value


def test_notes_stand_below_the_message(listed):
    """Notes of `add_note` are part of the exception's text."""
    error = ValueError("text")
    error.add_note("first note")
    error.add_note("second note")
    assert listed(error)[0]["value"] == "text\nfirst note\nsecond note"
    silent = ValueError()
    silent.add_note("only a note")
    assert listed(silent)[0]["value"] == "only a note"


def test_a_long_value_is_cut_where_the_server_would_cut_it(listed):
    """10000 characters, the last three of them dots.

    Source: docs/internals/instance-protocol.md#the-exception-event.
    """
    assert listed(ValueError("x" * 10_000))[0]["value"] == "x" * 10_000
    assert listed(ValueError("x" * 10_001))[0]["value"] == "x" * 9_997 + "..."


def test_an_error_number_is_in_the_entry(listed):
    """It is the number of operating system errors and of drivers that have one.

    A text is none.
    """

    class DriverError(Exception):
        errno = 1045

    class OddError(Exception):
        errno = "E1045"

    assert listed(FileNotFoundError(2, "gone"))[0]["mechanism"]["meta"] == {"errno": {"number": 2}}
    assert listed(DriverError())[0]["mechanism"]["meta"] == {"errno": {"number": 1045}}
    assert "meta" not in listed(OddError())[0]["mechanism"]
    assert "meta" not in listed(OSError("no number"))[0]["mechanism"]


def test_an_exception_that_was_never_raised_has_the_stack_of_who_captured_it(posthog):
    """Marked synthetic, without a frame of ours, and nothing is written to the exception but the
    mark.
    """
    error = ValueError("never raised")
    posthog.capture_exception(error)
    [event] = posthog.events
    [entry] = event.properties["$exception_list"]
    assert entry["mechanism"]["synthetic"] is True
    frames = entry["stacktrace"]["frames"]
    assert frames[-1]["context_line"].strip() == "posthog.capture_exception(error)"
    assert [frame["module"] for frame in frames if (frame["module"] or "").split(".")[0] == "hogline"] == []
    assert error.__traceback__ is None


def test_only_the_root_gets_a_stack_of_its_own(listed):
    """A cause that was never raised has no place to show."""
    root, cause = listed(raised(ValueError("raised"), OSError("never raised")))
    assert root["mechanism"]["synthetic"] is False
    assert cause["mechanism"]["synthetic"] is False
    assert "stacktrace" not in cause


def test_a_given_traceback_stands_in_for_the_exceptions_own(listed):
    """Hooks are handed a traceback when a framework has cleared the exception's own."""
    error = raised(ValueError("cleared"))
    trace, error.__traceback__ = error.__traceback__, None
    [entry] = listed(error, traceback=trace)
    assert entry["mechanism"]["synthetic"] is False
    assert [frame["function"] for frame in entry["stacktrace"]["frames"]] == ["raised"]


def test_the_list_outlives_the_exception_and_keeps_nothing_of_it(listed):
    """Frames hold requests, connections, secrets; the list holds texts."""

    class Held:
        pass

    def crash(held):
        raise ValueError(f"with {type(held).__name__}")

    def snapshot():
        held = Held()
        try:
            crash(held)
        except ValueError as error:
            return weakref.ref(held), listed(error)

    alive, entries = snapshot()
    gc.collect()
    assert alive() is None
    assert entries[0]["stacktrace"]["frames"][-1]["function"] == "crash"
