"""The context functions as a client's methods, as posthog-python has them. A context serves every client, whichever opened it."""

from collections.abc import Callable
from typing import Any, TypeVar

from hogline import context
from hogline.client.exceptions import ExceptionMethods
from hogline.context import Scope
from hogline.context_decorator import scoped_with

__all__ = ["ContextMethods"]

_F = TypeVar("_F", bound=Callable[..., Any])


class ContextMethods(ExceptionMethods):
    """What a client says about who is acting."""

    def new_context(self, fresh: bool = False, capture_exceptions: bool | None = None) -> Scope:
        """Return a `with` block whose events share what is said inside it; see `hogline.new_context`.

        With *capture_exceptions*, an `Exception` that leaves the block is captured by this client.
        """
        return Scope(fresh=fresh, on_error=self.capture_exception if capture_exceptions else None)

    def scoped(self, fresh: bool = False, capture_exceptions: bool | None = None) -> Callable[[_F], _F]:
        """Return a decorator that runs each call in a context of its own; see `hogline.scoped`."""
        return scoped_with(lambda: self.new_context(fresh=fresh, capture_exceptions=capture_exceptions))

    def tag(self, name: str, value: Any) -> None:
        """Put property *name* on every later event of this context; see `hogline.tag`."""
        context.tag(name, value)

    def get_tags(self) -> dict[str, Any]:
        """Return a copy of this context's tags."""
        return context.get_tags()

    def identify_context(self, distinct_id: Any) -> None:
        """Say who acts in this context; see `hogline.identify_context`."""
        context.identify_context(distinct_id)

    def set_context_session(self, session_id: str | None) -> None:
        """Say which session this context belongs to."""
        context.set_context_session(session_id)

    def set_context_device_id(self, device_id: str | None) -> None:
        """Say which device flag rollouts bucket by in this context."""
        context.set_context_device_id(device_id)
