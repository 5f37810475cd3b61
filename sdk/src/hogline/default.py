"""The module-level functions: `hogline.capture(...)` is the default client's `capture`.

The default client is the first one made in this process that was not shut down; without one, a
client made from the environment (`HOGLINE_PROJECT_TOKEN`, `HOGLINE_HOST`, or PostHog's own
variables).
"""

import functools
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from hogline.client import Client
from hogline.context import Scope
from hogline.context_decorator import scoped_with
from hogline.module_settings import configured, on_change

__all__ = [
    "alias",
    "capture",
    "capture_ai",
    "capture_exception",
    "captures_exceptions",
    "chosen_client",
    "default_client",
    "flush",
    "group_identify",
    "identify",
    "join",
    "new_context",
    "of_default",
    "scoped",
    "set",
    "set_default_client",
    "set_once",
    "shutdown",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])
_MAKING_S = 5.0
_lock = threading.RLock()
_is_making = False  # true only for the thread that holds the lock
_chosen: Client | None = None
_made_client: Client | None = None


def default_client() -> Client:
    """Return the client that the module-level functions and interceptors without a `client` use.

    Raises RuntimeError: it is just being made, and that waits for the caller, for example a log
    handler.
    """
    client = _chosen or Client.first() or _made()
    if client is None:
        raise RuntimeError("hogline: the default client is still being made")
    return client


def _made() -> Client | None:
    """Make the default client, or wait for the thread that makes it; None: it cannot be had yet.

    Making a client may log, and the app's log handlers may capture. Such a handler runs inside this
    call, or in a thread that holds the lock of a handler that this call waits for. So the wait has
    a limit.
    """
    global _chosen, _made_client, _is_making  # noqa: PLW0603 - the default client is this module's state
    lock = _lock
    if not lock.acquire(timeout=_MAKING_S):
        return None
    try:
        if _chosen is None and not _is_making:
            _is_making = True
            try:
                _chosen = _made_client = Client(**configured())
            finally:
                _is_making = False
        return _chosen
    finally:
        lock.release()


def _after_fork_in_child() -> None:
    """Replace the lock: a thread of the parent may have held it while it made its client."""
    global _lock, _is_making
    _lock, _is_making = threading.RLock(), False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def set_default_client(client: Client | None) -> None:
    """Choose the default client; None returns to the rule above."""
    global _chosen, _made_client  # noqa: PLW0603
    _chosen = client
    if client is None:
        _made_client = None


def chosen_client() -> Client | None:
    """Return the client that `set_default_client` chose; None: it chose none."""
    return _chosen


def _change_option(name: str, value: Any) -> None:
    """Change an option of the default client, if that exists already.

    It was made from the environment and the module's attributes.
    """
    if _made_client is not None:
        setattr(_made_client, name, value)


on_change.append(_change_option)


def captures_exceptions(client: Client | None) -> bool:
    """Return whether *client* captures exceptions by itself.

    Without *client*, return that for the default client, if there is one.
    """
    asked = client or _chosen or Client.first()
    return asked is not None and asked.settings.capture_exceptions


def of_default(
    method: "Callable[Concatenate[Client, _P], _T]",
) -> "Callable[[Callable[[], None]], Callable[_P, _T]]":
    """Return a decorator that makes a function call the default client's *method*.

    The function has the method's own parameters.

    A call from inside the making of the default client does nothing, and returns None.
    """

    def decorate(named: Callable[[], None]) -> Callable[_P, _T]:
        @functools.wraps(named)
        def call_default(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            client = _chosen or Client.first() or _made()
            found: Any = getattr(client, named.__name__)(*args, **kwargs) if client is not None else None
            result: _T = found
            return result

        signature = inspect.signature(method)
        parameters = list(signature.parameters.values())[1:]
        call_default.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return call_default

    return decorate


@of_default(Client.capture)
def capture() -> None:
    """Send an event through the default client; see `PostHog.capture`."""


@of_default(Client.capture_ai)
def capture_ai() -> None:
    """Send an AI event through the default client; see `PostHog.capture_ai`."""


@of_default(Client.set)
def set() -> None:  # noqa: A001 - posthog-python's name
    """Set person properties through the default client; see `PostHog.set`."""


@of_default(Client.set_once)
def set_once() -> None:
    """Set person properties that are not set yet through the default client.

    See `PostHog.set_once`.
    """


@of_default(Client.identify)
def identify() -> None:
    """Identify a person through the default client; see `PostHog.identify`."""


@of_default(Client.alias)
def alias() -> None:
    """Join two ids through the default client; see `PostHog.alias`."""


@of_default(Client.group_identify)
def group_identify() -> None:
    """Set group properties through the default client; see `PostHog.group_identify`."""


@of_default(Client.capture_exception)
def capture_exception() -> None:
    """Send an exception through the default client; see `PostHog.capture_exception`."""


@of_default(Client.flush)
def flush() -> None:
    """Send the default client's waiting events; see `PostHog.flush`."""


@of_default(Client.join)
def join() -> None:
    """Send the default client's waiting events and stop it; posthog-python's older name.

    See `PostHog.join`.
    """


@of_default(Client.shutdown)
def shutdown() -> None:
    """Send the default client's waiting events and stop it; see `PostHog.shutdown`."""


def new_context(fresh: bool = False, capture_exceptions: bool | None = None, client: Client | None = None) -> Scope:
    """Return a `with` block whose events share what is tagged and identified inside it.

    A *fresh* one inherits nothing. With *capture_exceptions*, an `Exception` that leaves the block
    is captured by *client* (None: the default client) and raised on; None follows the client's own
    `capture_exceptions`.
    """

    def send(error: BaseException) -> None:
        if capture_exceptions:
            (client or default_client()).capture_exception(error)
            return
        asked = client or _chosen or Client.first()  # no client is made just for this check
        if asked is not None and asked.settings.capture_exceptions:
            asked.capture_exception(error)

    return Scope(fresh=fresh, on_error=None if capture_exceptions is False else send)


def scoped(
    fresh: bool = False, capture_exceptions: bool | None = None, client: Client | None = None
) -> Callable[[_F], _F]:
    """Return a decorator that runs each call in a context of its own.

    It takes functions, coroutines and both kinds of generators.
    """
    return scoped_with(lambda: new_context(fresh=fresh, capture_exceptions=capture_exceptions, client=client))
