"""Context: who is acting, in one ContextVar.

A `Context` is frozen for everybody who inherited it: `tag()` and its kin put a changed copy into the variable, so what a
child task says never shows in its parent or its siblings. A scope remembers what was there before it and writes it back
on leaving only while the variable still holds something of its own: it may be left in another task, by a garbage
collector, or not at all.
Source: docs/internals/rules.md#fresh-context and docs/internals/rules.md#no-token-reset.
"""

import functools
import inspect
import os
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from hogline.event import distinct_id_text

__all__ = [
    "Context",
    "Origin",
    "Scope",
    "Turn",
    "current",
    "get_context_device_id",
    "get_context_distinct_id",
    "get_context_session_id",
    "get_tags",
    "identify_context",
    "leave",
    "scoped_with",
    "set_capture_exception_code_variables_context",
    "set_code_variables_detect_secrets_context",
    "set_code_variables_ignore_patterns_context",
    "set_code_variables_mask_patterns_context",
    "set_code_variables_mask_url_credentials_context",
    "set_context_device_id",
    "set_context_groups",
    "set_context_person_properties",
    "set_context_session",
    "tag",
]

_F = TypeVar("_F", bound=Callable[..., Any])


class Origin(Protocol):
    """Where a context began: a request, a task. Its facts are read on first use."""

    def distinct_id(self) -> str | None:
        """Return who the origin says is acting."""

    def session_id(self) -> str | None:
        """Return the browser session the origin belongs to."""

    def properties(self) -> Mapping[str, Any]:
        """Return the facts that every event of the origin carries. Not to be changed."""


class Context:
    """Who is acting, seen from one place in the code. Never changed after it was made."""

    # Class-level defaults: what a request never says costs it nothing.
    parent: "Context | None" = None
    distinct_id: str | None = None
    session_id: str | None = None
    device_id: str | None = None
    tags: Mapping[str, Any] | None = None
    options: Mapping[str, Any] | None = None  # of the client, by name, as this context has them instead
    person_properties: Mapping[str, Any] | None = None  # for flags only; never on an event

    def __init__(self, scope: object, origin: Origin | None = None, parent: "Context | None" = None) -> None:
        self.scope: object = scope  # what leaving recognises its own by
        self.origin: Origin | None = origin
        if parent is not None:
            self.parent = parent

    def changed(self, **changes: Any) -> "Context":
        """Return a copy with *changes*."""
        copy = Context(self.scope, self.origin)
        copy.__dict__.update(self.__dict__ | changes)
        return copy

    def child(self, *, fresh: bool) -> "Context":
        """Return the context of a scope inside this one; a *fresh* one inherits nothing."""
        scope = object()
        return Context(scope, parent=self) if fresh else self.changed(scope=scope, parent=self)

    def who(self) -> str | None:
        """Return the distinct id: what the code said, else what the origin says."""
        if self.distinct_id is not None or self.origin is None:
            return self.distinct_id
        return self.origin.distinct_id()

    def session(self) -> str | None:
        """Return the session id: what the code said, else what the origin says."""
        if self.session_id is not None or self.origin is None:
            return self.session_id
        return self.origin.session_id()

    def properties(self) -> Mapping[str, Any]:
        """Return what events carry here: the origin's facts, the session, the tags; later ones win."""
        origin, tags, session = self.origin, self.tags, self.session_id
        facts: Mapping[str, Any] = origin.properties() if origin is not None else {}
        if session is not None:
            facts = {**facts, "$session_id": session}
        return {**facts, **tags} if tags else facts


current: ContextVar[Context | None] = ContextVar("hogline.context", default=None)


def _after_fork_in_child() -> None:
    """Leave the parent's request to the parent: a worker that is forked in the middle of one serves others."""
    current.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def leave(mine: Context, previous: Context | None) -> None:
    """Write *previous* back if the variable still holds *mine*, or something that was made inside it."""
    now = current.get()
    if now is mine:
        current.set(previous)
        return
    while now is not None:
        if now.scope is mine.scope:
            current.set(previous)
            return
        now = now.parent


class Scope:
    """A `with` block, also around awaits, whose events share what is said inside it."""

    __slots__ = ("_entered", "_fresh", "_on_error")

    def __init__(self, *, fresh: bool = False, on_error: Callable[[BaseException], object] | None = None) -> None:
        self._fresh = fresh
        self._on_error = on_error
        self._entered: list[tuple[Context, Context | None]] = []

    def __enter__(self) -> None:
        previous = current.get()
        mine = previous.child(fresh=self._fresh) if previous is not None else Context(object())
        self._entered.append((mine, previous))
        current.set(mine)

    # No contextlib here: its __exit__ assigns exc.__traceback__, which replaces exceptions that refuse it (rule `no-contextlib-around-app`).
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and self._on_error is not None:
            self._on_error(error)
        mine, previous = self._entered.pop()
        leave(mine, previous)


class Turn:
    """A request's context, taken up for one step and put aside after it: a `with` block around each step of a body that is made later.

    *root* is what the request began with; None: another interceptor takes care of the context. *context* is what the first step
    finds; what a step says in it stays for the next.
    """

    __slots__ = ("_context", "_outer", "_root")

    def __init__(self, root: Context | None, context: Context | None) -> None:
        self._root = root
        self._context = context
        self._outer: Context | None = None

    def __enter__(self) -> None:
        if self._root is not None:
            self._outer = current.get()
            current.set(self._context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._root is None:
            return
        now = current.get()
        leave(self._root, self._outer)
        if now is not None and current.get() is not now:
            self._context = now
        self._outer = None


def scoped_with(make: Callable[[], Scope]) -> Callable[[_F], _F]:
    """Return a decorator that runs each call of a function, coroutine or generator in a scope of its own."""

    def decorate(function: _F) -> _F:
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def wrapper_asyncgen(*args: Any, **kwargs: Any) -> Any:
                async for item in _each_async(function(*args, **kwargs), make()):
                    yield item

            return cast("_F", wrapper_asyncgen)
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapper_generator(*args: Any, **kwargs: Any) -> Any:
                return (yield from _each(function(*args, **kwargs), make()))

            return cast("_F", wrapper_generator)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper_async(*args: Any, **kwargs: Any) -> Any:
                with make():
                    return await function(*args, **kwargs)

            return cast("_F", wrapper_async)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with make():
                return function(*args, **kwargs)

        return cast("_F", wrapper)

    return decorate


class _Steps:
    """A generator's own context: taken up before each of its steps, put aside after, whoever steps it."""

    __slots__ = ("_mine", "_outer", "_scope")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._mine: Context | None = None
        self._outer: Context | None = None

    def __enter__(self) -> None:
        self._outer = current.get()
        if self._mine is None:
            self._scope.__enter__()
        else:
            current.set(self._mine)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mine = current.get()
        if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
            self._scope.__exit__(kind, error, trace)
        current.set(self._outer)
        self._outer = None


def _each(generator: Generator[Any, Any, Any], scope: Scope) -> Generator[Any, Any, Any]:
    step = _Steps(scope)
    advance: Callable[[], Any] = functools.partial(next, generator)
    while True:
        try:
            with step:
                item = advance()
        except StopIteration as stop:
            return stop.value
        try:
            sent = yield item
        except GeneratorExit:
            with step:
                generator.close()
            raise
        except BaseException as error:
            advance = functools.partial(generator.throw, error)
        else:
            advance = functools.partial(generator.send, sent)


async def _each_async(generator: AsyncGenerator[Any, Any], scope: Scope) -> AsyncGenerator[Any, Any]:
    step = _Steps(scope)
    advance: Callable[[], Any] = generator.__anext__
    while True:
        try:
            with step:
                item = await advance()
        except StopAsyncIteration:
            return
        try:
            sent = yield item
        except GeneratorExit:
            with step:
                await generator.aclose()
            raise
        except BaseException as error:
            advance = functools.partial(generator.athrow, error)
        else:
            advance = functools.partial(generator.asend, sent)


def _change(**changes: Any) -> None:
    now = current.get()
    if now is not None:
        current.set(now.changed(**changes))


def tag(name: str, value: Any) -> None:
    """Put property *name* on every later event of this context. Outside any context it does nothing."""
    now = current.get()
    if now is not None:
        current.set(now.changed(tags={**(now.tags or {}), name: value}))


def get_tags() -> dict[str, Any]:
    """Return a copy of this context's tags."""
    now = current.get()
    return dict(now.tags) if now is not None and now.tags else {}


def identify_context(distinct_id: Any) -> None:
    """Say who acts in this context; wins over the request's headers. Outside any context it does nothing."""
    _change(distinct_id=distinct_id_text(distinct_id))


def set_context_session(session_id: str | None) -> None:
    """Say which session this context belongs to."""
    _change(session_id=session_id)


def set_context_device_id(device_id: str | None) -> None:
    """Say which device flag rollouts bucket by in this context; it never becomes an event property."""
    _change(device_id=device_id)


def _choose(name: str, value: Any) -> None:
    now = current.get()
    if now is not None:
        current.set(now.changed(options={**(now.options or {}), name: value}))


def set_capture_exception_code_variables_context(enabled: bool) -> None:
    """Say whether exceptions of this context tell of variables, whatever the client was told."""
    _choose("capture_exception_code_variables", enabled)


def set_code_variables_mask_patterns_context(mask_patterns: Sequence[str]) -> None:
    """Say which names and texts hide their values in this context."""
    _choose("code_variables_mask_patterns", tuple(mask_patterns))


def set_code_variables_ignore_patterns_context(ignore_patterns: Sequence[str]) -> None:
    """Say which variables are left out in this context."""
    _choose("code_variables_ignore_patterns", tuple(ignore_patterns))


def set_code_variables_mask_url_credentials_context(enabled: bool) -> None:
    """Say whether users and passwords in URLs are hidden in this context."""
    _choose("code_variables_mask_url_credentials", enabled)


def set_code_variables_detect_secrets_context(enabled: bool) -> None:
    """Say whether what looks like a key is hidden in this context."""
    _choose("code_variables_detect_secrets", enabled)


def set_context_groups(groups: Mapping[str, Any]) -> None:
    """Say which groups act in this context, by type: on its events (`$groups`), and where flags are asked for."""
    tag("$groups", dict(groups))


def set_context_person_properties(properties: Mapping[str, Any]) -> None:
    """Add what is known of the person, where flags are asked for in this context. Never on an event."""
    now = current.get()
    if now is not None:
        current.set(now.changed(person_properties={**(now.person_properties or {}), **properties}))


def get_context_distinct_id() -> str | None:
    """Return who acts in this context, as far as known."""
    now = current.get()
    return now.who() if now is not None else None


def get_context_session_id() -> str | None:
    """Return the session that this context belongs to, as far as known."""
    now = current.get()
    return now.session() if now is not None else None


def get_context_device_id() -> str | None:
    """Return the device id set in this context."""
    now = current.get()
    return now.device_id if now is not None else None
