"""Quart: an extension, with a layer around the whole ASGI app.

    PostHogInterceptor(app, client=posthog, capture_exceptions=True)
    PostHogInterceptor(client=posthog, capture_exceptions=True).init_app(app)    # the same

Quart answers errors itself, after it has left their `except`. `app.handle_user_exception` sees
exceptions of handlers and hooks before any error handler does; signals report those that no handler
answered.
Source: docs/internals/frameworks.md#quart.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Unpack

import quart
from quart.signals import (
    got_background_exception,
    got_request_exception,
    got_websocket_exception,
    request_finished,
    request_started,
    websocket_started,
)
from quart.wrappers.response import DataBody
from werkzeug.datastructures import Headers

from hogline.exception_kinds import http_status, ungrouped
from hogline.exchange import Exchange, Policy, current_exchange
from hogline.interceptors import asgi
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor", "QuartExchange"]

_log = logging.getLogger("hogline")
_EXTENSION = "hogline"


class QuartExchange(asgi.AsgiExchange):
    """An ASGI exchange that knows Quart's request and routes.

    Quart drops its request before the body is sent, so the request is kept when it begins.
    """

    _kept: Any = None

    def __init__(self, application: Any, policy: Policy, scope: asgi.Scope) -> None:
        super().__init__(policy, scope)
        self._application = application

    def request(self) -> Any:
        """Return the app's own `Request` or `Websocket`.

        Without one, return a new one that cannot receive anything.
        """
        return self._kept if self._kept is not None else self._made()

    def find_route(self) -> str | None:
        """Return the rule of the matched route, with the prefix of its mount; None for a 404."""
        request = self._kept
        if request is None or request.url_rule is None:
            return super().find_route()
        return self.mounted_at(self.scope.get("root_path")) + str(request.url_rule.rule)

    def original(self, error: BaseException) -> BaseException:
        """Return the exception that user code raised.

        Since Quart 0.23 a connection runs in a task group.
        """
        return ungrouped(error, "quart")

    def keep(self, request: Any) -> None:
        """Keep the app's own request, which Quart drops early."""
        self._kept = request

    def keep_callbacks(self) -> None:
        """Call the callbacks now, for events that come after the handler.

        `quart.session` still works at this moment.
        """
        settings = self.policy.settings
        answers = dict(self._answers or {})
        for name in ("distinct_id", "properties"):
            if getattr(settings, name) is not None and name not in answers:
                answers[name] = self.answer(name)
        self.keep_answers(answers)

    def _made(self) -> Any:
        scope = self.scope
        headers = Headers(
            [(name.decode("latin-1").title(), value.decode("latin-1")) for name, value in scope.get("headers", ())]
        )
        path, query, scheme = scope.get("path", "/"), scope.get("query_string", b""), scope.get("scheme", "http")
        root, http_version = scope.get("root_path", ""), scope.get("http_version", "1.1")
        if scope["type"] == "websocket":
            return self._application.websocket_class(
                path, query, scheme, headers, root, http_version, [], *[_nothing] * 4, scope=scope
            )
        return self._application.request_class(
            scope["method"], scheme, path, query, headers, root, http_version, send_push_promise=_nothing, scope=scope
        )


async def _nothing(*_: Any) -> Any:
    raise RuntimeError("only the app's own request can send and receive")


class PostHogInterceptor:
    """An extension for Quart apps. Keyword options are `InterceptorSettings`'."""

    def __init__(self, app: quart.Quart | None = None, **options: Unpack[InterceptorOptions]) -> None:
        self._options = options
        self._policy = make_policy("quart", options)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: quart.Quart) -> None:
        """Install the interceptor in *app*. An app has one; a second one is ignored."""
        if _EXTENSION in app.extensions:
            _log.warning("hogline: the Quart app %r has an interceptor already; the second one is ignored", app.name)
            return
        layer = _QuartLayer(app, self._options)
        app.extensions[_EXTENSION] = layer
        app.asgi_app = layer  # type: ignore[assignment, method-assign]
        # Signals hold their receivers weakly, so that the app can be collected.
        request_started.connect(layer.started, app)
        websocket_started.connect(layer.started, app)
        settings = self._policy.settings
        if settings.distinct_id is not None or settings.properties is not None:
            request_finished.connect(layer.finished, app)
        if self._policy.exceptions is not None:
            app.handle_user_exception = layer.observing(app.handle_user_exception)  # type: ignore[method-assign]
            got_request_exception.connect(layer.unhandled, app)
            got_websocket_exception.connect(layer.unhandled, app)
            got_background_exception.connect(layer.failed_later, app)


class _QuartLayer(asgi.PostHogInterceptor):
    """The ASGI layer of one Quart app, and the observers inside the app.

    The receivers of signals are asynchronous: Quart runs others in a thread.
    """

    source = "quart"

    def __init__(self, app: quart.Quart, options: Mapping[str, Any]) -> None:
        inside: Any = app.asgi_app  # Quart's own types of scopes and messages are stricter
        super().__init__(inside, **options)
        self.exchange_class = functools.partial(QuartExchange, app)

    async def started(self, _sender: quart.Quart, **_: Any) -> None:
        """Keep the request; receives `request_started` and `websocket_started`."""
        exchange, request = _here()
        own = exchange.part(QuartExchange) if exchange is not None else None
        if own is not None:
            own.keep(request)

    async def finished(self, _sender: quart.Quart, response: Any = None, **_: Any) -> None:
        """Call the app's callbacks if the body will be streamed; receives `request_finished`."""
        exchange, _request = _here()
        if isinstance(exchange, QuartExchange) and not isinstance(getattr(response, "response", None), DataBody):
            exchange.keep_callbacks()

    def observing(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return `handle_user_exception` with an observer that runs first."""

        @functools.wraps(handle)
        async def handle_user_exception(*args: Any, **kwargs: Any) -> Any:
            # The exception is the last argument: Quart 0.23 passes its context first.
            error = args[-1] if args else kwargs.get("error")
            self._note(error, handled=True)
            try:
                return await handle(*args, **kwargs)
            except BaseException as raised:
                if raised is not error and isinstance(error, BaseException) and http_status(error) is None:
                    # Its handler raised too, so nothing answered it.
                    self._note(error, handled=False)
                raise

        return handle_user_exception

    async def unhandled(self, sender: quart.Quart, exception: BaseException, **_: Any) -> None:
        """Record an exception that no handler answered.

        This receives `got_request_exception` and its WebSocket counterpart.
        """
        propagates = sender.config["PROPAGATE_EXCEPTIONS"]
        if propagates is None:
            propagates = sender.testing or sender.debug
        # With propagation it goes on, and middleware further out may answer it.
        self._note(exception, handled=bool(propagates))

    async def failed_later(self, _sender: quart.Quart, exception: BaseException, **_: Any) -> None:
        """Record a background task's exception in the exchange that started the task.

        This receives `got_background_exception`.
        """
        exchange = current_exchange()
        if exchange is not None:
            exchange.observe(exception, handled=False, policy=self._policy)
            exchange.close()

    def _note(self, error: Any, *, handled: bool) -> None:
        exchange, _request = _here()
        if exchange is not None and isinstance(error, BaseException):
            exchange.observe(error, handled=handled, policy=self._policy)


def _here() -> tuple[Exchange | None, Any]:
    """Return the exchange of the request or WebSocket that Quart handles now, and that request."""
    if quart.has_request_context():
        request: Any = quart.request
    elif quart.has_websocket_context():
        request = quart.websocket
    else:
        return None, None
    request = request._get_current_object()  # noqa: SLF001 - documented by Werkzeug
    return request.scope.get(asgi.EXCHANGE_KEY), request
