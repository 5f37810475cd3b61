"""The module-level functions: `hogline.capture(...)` is the default client's `capture`.

The default client is the first one made in this process that was not shut down; without one, a client made from the
environment (`HOGLINE_PROJECT_TOKEN`, `HOGLINE_HOST`, or PostHog's own variables).
"""

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

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


def of_default(method: "Callable[Concatenate[Client, _P], _T]") -> "Callable[_P, _T]":
    """Return a function that calls the default client's *method*, with the method's own parameters and docstring."""

    @functools.wraps(method)
    def handed_on(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        result: _T = getattr(default_client(), method.__name__)(*args, **kwargs)
        return result

    signature = inspect.signature(method)
    handed_on.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    return handed_on


capture = of_default(Client.capture)
set = of_default(Client.set)  # noqa: A001 - posthog-python's name
set_once = of_default(Client.set_once)
identify = of_default(Client.identify)
alias = of_default(Client.alias)
group_identify = of_default(Client.group_identify)
capture_exception = of_default(Client.capture_exception)
flush = of_default(Client.flush)
join = of_default(Client.join)
shutdown = of_default(Client.shutdown)


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
