"""posthog-python beside Hogline: its contexts show Hogline's.

Its AI wrappers and other calls therefore know the request.

    mirror()

A patch: posthog-python has no hook for the source of its context. Its own contexts stay as they
are; outside them, and as their outermost parent, it sees the request: session, distinct id, and the
facts as tags. Nothing is copied, so nothing needs to be ended. Source: posthog-python 7.91's
`contexts.py`.
"""

from typing import Any

from posthog import contexts

from hogline.context import (
    current,
    get_context_device_id,
    get_context_distinct_id,
    get_context_session_id,
    identify_context,
    set_context_device_id,
    set_context_session,
    tag,
)

__all__ = ["mirror", "unmirror"]


def mirror() -> None:
    """Let posthog-python's contexts show Hogline's, in this process. Safe to call twice."""
    stack = contexts._context_stack
    if not isinstance(stack, _Stack):
        contexts._context_stack = _Stack(stack)  # type: ignore[assignment]


def unmirror() -> None:
    """Remove the patch."""
    stack: Any = contexts._context_stack
    if isinstance(stack, _Stack):
        contexts._context_stack = stack.own


class _Mirror(contexts.ContextScope):
    """Hogline's current context in posthog-python's interface, read at each call."""

    def __init__(self) -> None:
        super().__init__(capture_exceptions=False)

    def set_session_id(self, session_id: str) -> None:
        set_context_session(session_id)

    def set_distinct_id(self, distinct_id: str) -> None:
        identify_context(distinct_id)

    def set_device_id(self, device_id: str) -> None:
        set_context_device_id(device_id)

    def add_tag(self, key: str, value: Any) -> None:
        tag(key, value)

    def get_session_id(self) -> str | None:
        return get_context_session_id()

    def get_distinct_id(self) -> str | None:
        return get_context_distinct_id()

    def get_device_id(self) -> str | None:
        return get_context_device_id()

    def collect_tags(self) -> dict[str, Any]:
        context = current.get()
        facts = context.properties() if context is not None else {}
        return {name: value for name, value in facts.items() if name != "$session_id"}


class _Stack:
    """posthog-python's context variable, with Hogline's context under everything."""

    def __init__(self, own: Any) -> None:
        self.own = own

    def get(self) -> Any:
        scope = self.own.get()
        if scope is None or isinstance(
            scope, _Mirror
        ):  # posthog-python sets the mirror again when a context of its own ends
            return _Mirror() if current.get() is not None else None
        return scope

    def set(self, scope: Any) -> Any:
        return self.own.set(None if isinstance(scope, _Mirror) else scope)
