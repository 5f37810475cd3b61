"""The module-level functions: `hogline.capture(...)` is the default client's `capture`.

The default client is the first one made in this process that was not shut down; without one, a client made from the
environment (`HOGLINE_PROJECT_TOKEN`, `HOGLINE_HOST`, or PostHog's own variables).
"""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from hogline.client import Client
from hogline.context import Scope, scoped_with

__all__ = [
    "alias",
    "capture",
    "capture_exception",
    "default_client",
    "flush",
    "group_identify",
    "identify",
    "new_context",
    "scoped",
    "set",
    "set_default_client",
    "set_once",
    "shutdown",
]

_F = TypeVar("_F", bound=Callable[..., Any])
_lock = threading.Lock()
_chosen: Client | None = None


def default_client() -> Client:
    """Return the client that the module-level functions and interceptors without a `client` use."""
    global _chosen  # noqa: PLW0603 - the default client is this module's one piece of state
    client = _chosen or Client.first()
    if client is None:
        with _lock:
            client = _chosen = _chosen or Client()
    return client


def set_default_client(client: Client | None) -> None:
    """Say which client is the default one; None goes back to the rule."""
    global _chosen  # noqa: PLW0603
    _chosen = client


def capture(event: str, **kwargs: Any) -> str | None:
    """Send *event* through the default client; see `PostHog.capture`."""
    return default_client().capture(event, **kwargs)


def set(**kwargs: Any) -> str | None:  # noqa: A001 - posthog-python's name
    """Set person properties through the default client; see `PostHog.set`."""
    return default_client().set(**kwargs)


def set_once(**kwargs: Any) -> str | None:
    """Set person properties once through the default client; see `PostHog.set_once`."""
    return default_client().set_once(**kwargs)


def identify(distinct_id: Any = None, properties: Any = None, **kwargs: Any) -> str | None:
    """Identify a person through the default client; see `PostHog.identify`."""
    return default_client().identify(distinct_id, properties, **kwargs)


def alias(previous_id: Any, distinct_id: Any = None, **kwargs: Any) -> str | None:
    """Join two ids through the default client; see `PostHog.alias`."""
    return default_client().alias(previous_id, distinct_id, **kwargs)


def group_identify(group_type: str, group_key: Any, properties: Any = None, **kwargs: Any) -> str | None:
    """Set group properties through the default client; see `PostHog.group_identify`."""
    return default_client().group_identify(group_type, group_key, properties, **kwargs)


def capture_exception(exception: BaseException | None = None, **kwargs: Any) -> str | None:
    """Send an exception through the default client; see `PostHog.capture_exception`."""
    return default_client().capture_exception(exception, **kwargs)


def flush(timeout_seconds: float | None = 10.0) -> bool:
    """Send what waits in the default client; see `PostHog.flush`."""
    return default_client().flush(timeout_seconds)


def shutdown(timeout_seconds: float | None = None) -> bool:
    """Send what waits in the default client and stop it; see `PostHog.shutdown`."""
    return default_client().shutdown(timeout_seconds)


def new_context(fresh: bool = False, capture_exceptions: bool | None = None, client: Client | None = None) -> Scope:
    """Return a `with` block whose events share what is tagged and identified inside it.

    A *fresh* one inherits nothing. With *capture_exceptions*, an `Exception` that leaves the block is captured by *client*
    (the default client when None) and goes on its way; None: as the client's own `capture_exceptions` says.
    """

    def send(error: BaseException) -> None:
        if capture_exceptions:
            (client or default_client()).capture_exception(error)
            return
        asked = client or _chosen or Client.first()  # none is made only to be asked
        if asked is not None and asked.settings.capture_exceptions:
            asked.capture_exception(error)

    return Scope(fresh=fresh, on_error=None if capture_exceptions is False else send)


def scoped(
    fresh: bool = False, capture_exceptions: bool | None = None, client: Client | None = None
) -> Callable[[_F], _F]:
    """Return a decorator that runs each call in a context of its own: functions, coroutines and both kinds of generators."""
    return scoped_with(lambda: new_context(fresh=fresh, capture_exceptions=capture_exceptions, client=client))
