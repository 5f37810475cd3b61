"""Context: one ContextVar, scopes that nest, and nothing that outlives or outreaches its scope."""

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

import hogline
from hogline import (
    get_context_device_id,
    get_context_distinct_id,
    get_context_session_id,
    get_tags,
    identify_context,
    new_context,
    scoped,
    set_context_device_id,
    set_context_session,
    tag,
)
from hogline.context import Context, current, restore
from tests.support.behaviours import shows


@pytest.fixture(autouse=True)
def _outside_any_context():
    """Each test begins outside any context, and leaves none behind."""
    assert current.get() is None
    yield
    assert current.get() is None


def test_outside_any_context_setters_do_nothing():
    """Tagging at module level must not stick to the process."""
    tag("a", 1)
    identify_context("alice")
    hogline.set_context_session("s")
    hogline.set_context_device_id("d")
    assert get_tags() == {}
    assert hogline.get_context_distinct_id() is None
    assert hogline.get_context_session_id() is None
    assert hogline.get_context_device_id() is None


def test_an_inner_scope_inherits_and_gives_nothing_back():
    """Inherited until changed; a change inside is gone outside."""
    with new_context():
        tag("a", 1)
        identify_context("alice")
        with new_context():
            assert get_tags() == {"a": 1}
            assert hogline.get_context_distinct_id() == "alice"
            tag("a", 2)
            tag("b", 3)
            identify_context("bob")
            assert get_tags() == {"a": 2, "b": 3}
        assert get_tags() == {"a": 1}
        assert hogline.get_context_distinct_id() == "alice"


def test_a_fresh_scope_begins_from_nothing():
    """`fresh=True` shows nothing of what is around it."""
    with new_context():
        tag("a", 1)
        identify_context("alice")
        with new_context(fresh=True):
            assert get_tags() == {}
            assert hogline.get_context_distinct_id() is None


def test_a_copy_of_the_tags_is_the_callers_own():
    """Changing what `get_tags()` returned changes nothing else."""
    with new_context():
        tag("a", 1)
        get_tags()["a"] = 2
        assert get_tags() == {"a": 1}


def test_a_child_tasks_tag_never_shows_in_its_parent_or_siblings():
    """A context that a task inherited is frozen for it."""

    async def child(name: str) -> dict[str, object]:
        tag("child", name)
        await asyncio.sleep(0)
        return get_tags()

    async def parent() -> None:
        with new_context():
            tag("all", True)
            one, two = await asyncio.gather(child("one"), child("two"))
            assert one == {"all": True, "child": "one"}
            assert two == {"all": True, "child": "two"}
            assert get_tags() == {"all": True}

    asyncio.run(parent())


def test_scoped_wraps_functions_and_coroutines():
    """Each call has a context of its own."""

    @scoped()
    def plain() -> dict[str, object]:
        tag("x", 1)
        return get_tags()

    @scoped()
    async def waiting() -> dict[str, object]:
        tag("y", 2)
        await asyncio.sleep(0)
        return get_tags()

    with new_context():
        tag("a", 0)
        assert plain() == {"a": 0, "x": 1}
        assert get_tags() == {"a": 0}
        assert asyncio.run(waiting()) == {"a": 0, "y": 2}
        assert get_tags() == {"a": 0}


def test_scoped_generators_keep_their_context_between_steps_and_show_it_to_nobody():
    """posthog-python runs a decorated generator's body after its scope closed."""

    @scoped()
    def numbers() -> Iterator[dict[str, object]]:
        tag("n", 1)
        got = yield get_tags()
        tag("got", got)
        yield get_tags()

    with new_context():
        tag("outer", True)
        steps = numbers()
        assert next(steps) == {"outer": True, "n": 1}
        assert get_tags() == {"outer": True}
        tag("late", True)
        assert steps.send("mail") == {"outer": True, "n": 1, "got": "mail"}
        assert get_tags() == {"outer": True, "late": True}
        assert list(steps) == []


def test_scoped_generators_pass_thrown_exceptions_and_return_values():
    """The wrapper is invisible to `throw`, `close` and `yield from`."""
    closed = []

    @scoped()
    def body() -> Iterator[str]:
        try:
            yield "one"
        except ValueError:
            yield "thrown"
        finally:
            closed.append(get_tags())
        return "returned"

    def outer() -> Iterator[str]:
        return (yield from body())

    steps = outer()
    assert next(steps) == "one"
    assert steps.throw(ValueError()) == "thrown"
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == "returned"
    again = body()
    next(again)
    again.close()
    assert closed == [{}, {}]


def test_scoped_async_generators_keep_their_context_between_steps():
    """This also holds when the consumer changes its own context in between."""

    @scoped()
    async def numbers() -> AsyncIterator[dict[str, object]]:
        tag("n", 1)
        yield get_tags()
        await asyncio.sleep(0)
        yield get_tags()

    async def consume() -> list[dict[str, object]]:
        with new_context():
            seen = []
            async for item in numbers():
                seen.append(item)
                tag("consumer", len(seen))
            assert get_tags() == {"consumer": 2}
            return seen

    assert asyncio.run(consume()) == [{"n": 1}, {"n": 1}]


@shows("late-collection")
def test_an_abandoned_generator_changes_nothing_when_it_is_collected():
    """Its `finally` runs inside somebody else's context, and must leave it alone."""

    def stream() -> Iterator[int]:
        with new_context():
            identify_context("alice")
            yield 1

    def alices_request() -> Iterator[int]:
        abandoned = stream()
        next(abandoned)
        return abandoned

    abandoned = contextvars.copy_context().run(alices_request)

    def bobs_request(holder: list[Iterator[int]]) -> None:
        with new_context(fresh=True):
            identify_context("bob")
            holder.clear()
            gc.collect()
            assert hogline.get_context_distinct_id() == "bob"

    holder = [abandoned]
    del abandoned
    bobs_request(holder)


@shows("late-collection")
def test_a_collection_in_the_middle_of_another_librarys_set_breaks_nothing():
    """Before Python 3.12 a collection starts inside any allocation, also inside `ContextVar.set()`."""
    program = """
import contextvars, gc
import hogline
with hogline.new_context(fresh=True):
    hogline.identify_context("alice")
    variables = [contextvars.ContextVar(str(number)) for number in range(40)]
    gc.set_threshold(3, 2, 2)
    for number in range(500):
        tokens = [variable.set([number]) for variable in variables]
        assert hogline.get_context_distinct_id() == "alice"
        for variable, token in zip(reversed(variables), reversed(tokens)):
            variable.reset(token)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@shows("late-collection")
def test_what_an_abandoned_generator_does_at_its_end_is_not_the_running_visitors():
    """A cycle keeps it until a collection, which starts anywhere, such as in bob's request."""
    seen = []

    def stream(own: list[object]) -> Iterator[int]:
        try:
            yield len(own)
        finally:
            seen.append((hogline.get_context_distinct_id(), hogline.get_tags()))
            with new_context():
                identify_context("carol")
                seen.append((hogline.get_context_distinct_id(), hogline.get_tags()))
            identify_context("dave")

    def alices_request() -> None:
        with new_context(fresh=True):
            identify_context("alice")
            cycle: list[object] = []
            cycle.append(stream(cycle))
            next(cycle[0])

    contextvars.copy_context().run(alices_request)
    with new_context(fresh=True):
        identify_context("bob")
        tag("plan", "pro")
        gc.collect()
        assert seen == [(None, {}), ("carol", {})]
        assert (hogline.get_context_distinct_id(), hogline.get_tags()) == ("bob", {"plan": "pro"})


def test_an_outer_scope_that_ends_first_takes_its_inner_ones_along():
    """Left out of order, nothing of the outer scope stays in the variable."""
    outer, inner = new_context(), new_context()
    outer.__enter__()
    identify_context("alice")
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert current.get() is None
    inner.__exit__(None, None, None)
    assert current.get() is None


def test_leaving_touches_only_what_is_its_own():
    """Rule `no-token-reset`: another scope's context stays where it is."""
    mine, others = Context(object()), Context(object())
    current.set(others)
    restore(mine, None)
    assert current.get() is others
    restore(others, None)
    assert current.get() is None


def test_a_scope_can_be_left_in_another_context_than_it_was_entered_in():
    """`ContextVar.reset(token)` would raise here."""
    scope = new_context()
    contextvars.copy_context().run(scope.__enter__)
    scope.__exit__(None, None, None)


def test_new_context_captures_only_when_asked_and_always_reraises(posthog):
    """`capture_exceptions` off by default; the same object goes on its way."""
    error = ValueError("boom")
    with pytest.raises(ValueError, match="boom") as silent, new_context():
        raise error
    assert silent.value is error
    assert posthog.events == []
    with pytest.raises(ValueError, match="again"), new_context(capture_exceptions=True):
        tag("where", "block")
        raise ValueError("again")
    [event] = posthog.events
    assert event.event == "$exception"
    assert event.properties["where"] == "block"


def test_an_exception_that_refuses_attributes_leaves_a_scope_unharmed():
    """Rule `no-contextlib-around-app`: contextlib would have replaced it with
    FrozenInstanceError.
    """
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):  # noqa: N818
        code: int

    error = Frozen(1)
    with pytest.raises(Frozen) as seen, new_context(capture_exceptions=False):
        raise error
    assert seen.value is error


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_inside_nested_contexts_leaves_nothing_of_them_to_the_child():
    """Copies of the variables that the parent made leave nothing either.

    The parent keeps its own.
    """

    def seen():
        return get_context_distinct_id(), get_context_session_id(), get_context_device_id(), get_tags()

    nobody = (None, None, None, {})
    with new_context(fresh=True):
        identify_context("parent")
        set_context_session("s1")
        set_context_device_id("d1")
        tag("team", "a")
        with new_context():
            tag("inner", 1)
            copied = contextvars.copy_context()
            pid = os.fork()
            if pid == 0:
                right = False
                try:
                    with new_context():
                        identify_context("child")
                        own = seen()
                    right = own == ("child", None, None, {}) and seen() == nobody and copied.run(seen) == nobody
                finally:
                    os._exit(0 if right else 1)
            assert os.waitpid(pid, 0)[1] == 0
            assert seen() == copied.run(seen) == ("parent", "s1", "d1", {"team": "a", "inner": 1})
