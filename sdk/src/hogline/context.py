"""Context: the record of who is acting, kept in one ContextVar.

A `Context` never changes after it was made. `tag()` and similar functions put a changed copy into
the variable, so a child task's changes do not show in its parent or its siblings. A scope remembers
the context before it and restores that only while the variable still holds something of the scope's
own: a scope may end in another task, in a garbage collection, or never.
Source: docs/internals/rules.md#fresh-context and docs/internals/rules.md#no-token-reset.
"""

import gc
import os
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from threading import get_ident
from types import TracebackType
from typing import Any, Protocol
from weakref import ref

from hogline.event import distinct_id_text

__all__ = [
    "Context",
    "FixedOrigin",
    "Origin",
    "Scope",
    "StepContext",
    "clear_context",
    "current",
    "get_context_device_id",
    "get_context_distinct_id",
    "get_context_session_id",
    "get_tags",
    "identify_context",
    "restore",
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
    "without_context",
]


class Origin(Protocol):
    """Where a context began: a request or a task. Its facts are read on first use."""

    latest: "ref[Context] | None"
    """The last context that code changed here, for a thread that did not inherit the variable."""

    def distinct_id(self) -> str | None:
        """Return the distinct id of the person who acts, as far as the origin knows."""

    def session_id(self) -> str | None:
        """Return the browser session that the origin belongs to."""

    def properties(self) -> Mapping[str, Any]:
        """Return the properties of every event of the origin; callers must not change them."""

    def unfinished(self, event_id: str, *, needs_person: bool) -> Any:
        """Return what an event needs of a request's facts to be finished later.

        They are a snapshot of the facts, the distinct id that only this thread can find, and the
        route. Returns None where the properties must be asked for at once.
        """


class FixedOrigin:
    """An origin whose facts are known from the beginning."""

    latest: "ref[Context] | None" = None

    def __init__(self, distinct_id: str | None, session_id: str | None, properties: Mapping[str, Any]) -> None:
        self._distinct_id = distinct_id
        self._session_id = session_id
        self._properties = {**properties, "$session_id": session_id} if session_id is not None else properties

    def distinct_id(self) -> str | None:
        """Return the distinct id of the person who acts."""
        return self._distinct_id

    def session_id(self) -> str | None:
        """Return the browser session."""
        return self._session_id

    def properties(self) -> Mapping[str, Any]:
        """Return the properties that events carry."""
        return self._properties

    def unfinished(self, event_id: str, *, needs_person: bool) -> Any:  # noqa: ARG002 - the protocol's signature
        """Return None: the properties are known."""
        return None


class Context:
    """The acting person and session, as seen from one place in the code. Immutable."""

    # Class-level defaults: an attribute that a request never sets costs it nothing.
    parent: "Context | None" = None
    distinct_id: str | None = None
    session_id: str | None = None
    device_id: str | None = None
    tags: Mapping[str, Any] | None = None
    options: Mapping[str, Any] | None = None  # client options, by name, that this context overrides
    person_properties: Mapping[str, Any] | None = None  # for flags only; never on an event

    def __init__(self, scope: object, origin: Origin | None = None, parent: "Context | None" = None) -> None:
        # All copies of one scope's context share this; `restore` compares it.
        self.scope: object = scope
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

    def acting_distinct_id(self) -> str | None:
        """Return the distinct id that code has set in this context, else the origin's."""
        if self.distinct_id is not None or self.origin is None:
            return self.distinct_id
        return self.origin.distinct_id()

    def session(self) -> str | None:
        """Return the session id that code has set in this context, else the origin's."""
        if self.session_id is not None or self.origin is None:
            return self.session_id
        return self.origin.session_id()

    def properties(self) -> Mapping[str, Any]:
        """Return the properties that events carry in this context.

        They are the origin's, the session and the tags; later ones win.
        """
        origin, tags, session = self.origin, self.tags, self.session_id
        facts: Mapping[str, Any] = origin.properties() if origin is not None else {}
        if session is not None:
            facts = {**facts, "$session_id": session}
        return {**facts, **tags} if tags else facts


class Current:
    """The variable that holds the context.

    The garbage collector starts anywhere, also in the middle of a request, and finishes abandoned
    generators of other requests there. While it runs, its thread has a context of its own, none at
    first: what a generator captures in its end must not get the running request's visitor. The
    variable itself stays as it is, since before Python 3.12 a collection may start in the middle of
    another variable's `set()`, and a `set()` of ours then frees the memory that it works on.
    Source: docs/internals/rules.md#late-collection.
    """

    __slots__ = ("get", "set", "variable")

    def __init__(self, variable: ContextVar[Context | None]) -> None:
        self.variable: ContextVar[Context | None] = variable
        self.get: Callable[[], Context | None] = variable.get
        self.set: Callable[[Context | None], object] = variable.set

    def follow_collections(self, phase: str, _info: object) -> None:
        """Give the collector's thread a context of its own, from a collection's start to its stop."""
        place = _WhileCollecting(self.variable) if phase == "start" else self.variable
        self.get, self.set = place.get, place.set


class _WhileCollecting:
    """The variable for every thread but this one, which collects."""

    __slots__ = ("_context", "_thread", "_variable")

    def __init__(self, variable: ContextVar[Context | None]) -> None:
        self._variable = variable
        self._thread = get_ident()
        self._context: Context | None = None

    def get(self) -> Context | None:
        return self._context if get_ident() == self._thread else self._variable.get()

    def set(self, context: Context | None) -> None:
        if get_ident() == self._thread:
            self._context = context
        else:
            self._variable.set(context)


current: Current = Current(ContextVar("hogline.context", default=None))
gc.callbacks.append(current.follow_collections)


def clear_context() -> None:
    """Clear the context from now on, in a task or process that restores nothing later."""
    current.set(None)


def _after_fork_in_child() -> None:
    """Forget the parent's request in a forked worker, which serves other requests.

    Copies of the variables, such as an event loop's tasks have, hold the same contexts; so these
    are emptied, too.
    """
    current.follow_collections("stop", None)  # another thread's collection does not end here
    context = current.get()
    while context is not None:
        parent = context.parent
        context.__dict__.clear()
        context.scope, context.origin = object(), None
        context = parent
    clear_context()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def restore(mine: Context, previous: Context | None) -> None:
    """Restore *previous* if the variable holds *mine*, or a context made inside it."""
    context = current.get()
    if context is mine:
        current.set(previous)
        return
    while context is not None:
        if context.scope is mine.scope:
            current.set(previous)
            return
        context = context.parent


class without_context:  # noqa: N801 - read as a function, as `contextlib.suppress` is
    """A `with` block without an acting person, whatever the context around it says."""

    __slots__ = ("_previous",)

    def __enter__(self) -> None:
        self._previous = current.get()
        current.set(None)

    def __exit__(self, *_: object) -> None:
        if current.get() is None:
            current.set(self._previous)


class Scope:
    """A `with` block whose events share the context that is set inside it.

    It may contain `await`.
    """

    __slots__ = ("_entered", "_fresh", "_on_error", "_origin")

    def __init__(
        self,
        *,
        fresh: bool = False,
        on_error: Callable[[BaseException], object] | None = None,
        origin: Origin | None = None,
    ) -> None:
        self._fresh = fresh
        self._on_error = on_error
        self._origin = origin
        self._entered: list[tuple[Context, Context | None]] = []

    def __enter__(self) -> None:
        previous = current.get()
        if previous is None or self._origin is not None:
            mine = Context(object(), self._origin, previous)
        else:
            mine = previous.child(fresh=self._fresh)
        self._entered.append((mine, previous))
        current.set(mine)

    # Not contextlib: it assigns `__traceback__`, and an exception that refuses this is replaced.
    # Source: docs/internals/rules.md#no-contextlib-around-app.
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and self._on_error is not None:
            self._on_error(error)
        mine, previous = self._entered.pop()
        restore(mine, previous)


class StepContext:
    """A `with` block that runs one step of a later body in its request's context.

    *root* is the context that the request began with, or None where another interceptor handles the
    context. *context* is the one that the first step finds; a step's changes stay for the next
    step.
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

    def __exit__(self, *_: object) -> None:
        if self._root is None:
            return
        context = current.get()
        restore(self._root, self._outer)
        if context is not None and current.get() is not context:
            self._context = context
        self._outer = None


def _change(context: Context | None, **changes: Any) -> None:
    if context is None:
        return
    changed = context.changed(**changes)
    current.set(changed)
    origin = changed.origin
    if origin is not None and changed.scope is origin:
        # A weak reference: a context holds its origin, and a cycle would wait for the collector.
        origin.latest = ref(changed)


def tag(name: str, value: Any) -> None:
    """Put property *name* on every later event of this context.

    Outside any context the call does nothing.
    """
    context = current.get()
    if context is not None:
        _change(context, tags={**(context.tags or {}), name: value})


def get_tags() -> dict[str, Any]:
    """Return a copy of this context's tags."""
    context = current.get()
    return dict(context.tags) if context is not None and context.tags else {}


def identify_context(distinct_id: Any) -> None:
    """Set who acts in this context.

    The id wins over the request's headers. Outside any context the call does nothing.
    """
    _change(current.get(), distinct_id=distinct_id_text(distinct_id))


def set_context_session(session_id: str | None) -> None:
    """Set the session that this context belongs to."""
    _change(current.get(), session_id=session_id)


def set_context_device_id(device_id: str | None) -> None:
    """Set the device that flag rollouts bucket by in this context.

    The device never becomes an event property.
    """
    _change(current.get(), device_id=device_id)


def _override(name: str, value: Any) -> None:
    context = current.get()
    if context is not None:
        _change(context, options={**(context.options or {}), name: value})


def set_capture_exception_code_variables_context(enabled: bool) -> None:
    """Set whether exceptions of this context include local variables.

    This overrides the client's option.
    """
    _override("capture_exception_code_variables", enabled)


def set_code_variables_mask_patterns_context(mask_patterns: Sequence[str]) -> None:
    """Set the names and texts whose values are masked in this context."""
    _override("code_variables_mask_patterns", tuple(mask_patterns))


def set_code_variables_ignore_patterns_context(ignore_patterns: Sequence[str]) -> None:
    """Set the variables that are left out in this context."""
    _override("code_variables_ignore_patterns", tuple(ignore_patterns))


def set_code_variables_mask_url_credentials_context(enabled: bool) -> None:
    """Set whether users and passwords in URLs are masked in this context."""
    _override("code_variables_mask_url_credentials", enabled)


def set_code_variables_detect_secrets_context(enabled: bool) -> None:
    """Set whether values that look like keys are masked in this context."""
    _override("code_variables_detect_secrets", enabled)


def set_context_groups(groups: Mapping[str, Any]) -> None:
    """Set the groups that act in this context, by type.

    Events (`$groups`) and flags of this context use them.
    """
    tag("$groups", dict(groups))


def set_context_person_properties(properties: Mapping[str, Any]) -> None:
    """Add person properties for the flags of this context. They never go on an event."""
    context = current.get()
    if context is not None:
        _change(context, person_properties={**(context.person_properties or {}), **properties})


def get_context_distinct_id() -> str | None:
    """Return the distinct id of the person who acts in this context, if known."""
    context = current.get()
    return context.acting_distinct_id() if context is not None else None


def get_context_session_id() -> str | None:
    """Return the session that this context belongs to, if known."""
    context = current.get()
    return context.session() if context is not None else None


def get_context_device_id() -> str | None:
    """Return the device id set in this context."""
    context = current.get()
    return context.device_id if context is not None else None
