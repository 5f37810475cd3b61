"""Hooks where Django, Django REST framework and Ninja turn exceptions into responses.

They are installed once per process.

A hook knows no interceptor: it finds the exchange on the request that the exception belongs to.
Source: docs/internals/frameworks.md#django and docs/internals/frameworks.md#drf-and-django-ninja.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.core.signals import got_request_exception

from hogline.exception_kinds import http_status

__all__ = ["ATTRIBUTE", "install"]

ATTRIBUTE = "_hogline_exchange"
"""The attribute of a request that holds its `DjangoExchange`."""


def install() -> None:
    """Install the hooks, those for other frameworks once these are imported.

    A second call does nothing.
    """
    got_request_exception.connect(_unhandled, dispatch_uid="hogline")
    _hook_handler()


def _note(request: Any, error: BaseException, *, handled: bool) -> None:
    """Record *error* in the request's exchange, if it has one."""
    # REST framework wraps Django's request.
    exchange = getattr(getattr(request, "_request", request), ATTRIBUTE, None)
    if exchange is not None:
        exchange.note(error, handled=handled)


def _unhandled(request: Any = None, **_: Any) -> None:
    """Record an exception that only Django's last resort answers.

    This receives the signal `got_request_exception`.
    """
    error = sys.exc_info()[1]
    if error is not None:
        # With propagation it goes on, and the layers further out observe it again.
        _note(request, error, handled=bool(settings.DEBUG_PROPAGATE_EXCEPTIONS))


def _answer(request: Any, error: BaseException, answer: Callable[[], Any]) -> Any:
    """Return the response that *answer* makes of *error*, which is recorded first."""
    _note(request, error, handled=True)
    try:
        return answer()
    except BaseException as raised:
        if raised is not error and http_status(error) is None:
            _note(request, error, handled=False)  # its handler raised too, so nothing answered it
        raise


# A patch: Django calls `process_exception` of the last middleware first, and one that answers hides
# the exception from the others, ours included. One method calls them all, so that method is
# wrapped. A second patch: REST framework and Ninja are imported with the URLconf, at the first
# request, later than any documented hook without a cost per request.
@functools.cache
def _hook_handler() -> None:
    ask, resolve = BaseHandler.process_exception_by_middleware, BaseHandler.resolve_request

    @functools.wraps(ask)
    def process_exception_by_middleware(handler: BaseHandler, exception: Exception, request: Any) -> Any:
        exchange = getattr(request, ATTRIBUTE, None)
        if exchange is not None and http_status(exception) is None:
            exchange.know_user()
        return _answer(request, exception, lambda: ask(handler, exception, request))

    @functools.wraps(resolve)
    def resolve_request(handler: BaseHandler, request: Any) -> Any:
        match = resolve(handler, request)
        if _awaited:
            _hook_imported()
        return match

    BaseHandler.process_exception_by_middleware = process_exception_by_middleware
    BaseHandler.resolve_request = resolve_request


def _hook_imported() -> None:
    for name in list(_awaited):
        if name in sys.modules:
            hook = _awaited.pop(name, None)  # only one thread gets the hook
            if hook is not None:
                hook(sys.modules[name])


# A patch: the setting EXCEPTION_HANDLER holds one function, and views may override it.
def _hook_rest_framework(views: Any) -> None:
    original = views.APIView.handle_exception

    @functools.wraps(original)
    def handle_exception(view: Any, exc: Exception) -> Any:
        return _answer(getattr(view, "request", None), exc, lambda: original(view, exc))

    views.APIView.handle_exception = handle_exception


# A patch: Ninja looks handlers up by class, and a project's own would replace ours.
def _hook_ninja(main: Any) -> None:
    original = main.NinjaAPI.on_exception

    @functools.wraps(original)
    def on_exception(api: Any, request: Any, exc: Exception) -> Any:
        response = _answer(request, exc, lambda: original(api, request, exc))
        if settings.DEBUG and _is_last_resort(api, exc):
            _note(request, exc, handled=False)
        return response

    main.NinjaAPI.on_exception = on_exception


def _is_last_resort(api: Any, error: Exception) -> bool:
    """Return whether Ninja showed the traceback of *error*.

    It does so in debug mode, instead of raising it.
    """
    find = getattr(api, "_lookup_exception_handler", None)
    handler = getattr(find(error) if find is not None else None, "func", None)
    return getattr(handler, "__name__", None) == "_default_exception"


_awaited: dict[str, Callable[[Any], None]] = {
    "rest_framework.views": _hook_rest_framework,
    "ninja.main": _hook_ninja,
}
