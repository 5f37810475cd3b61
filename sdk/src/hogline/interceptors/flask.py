"""Flask: an extension, with a layer around the whole WSGI app.

    PostHogInterceptor(app, client=posthog, capture_exceptions=True)
    PostHogInterceptor(client=posthog, capture_exceptions=True).init_app(app)    # the same

Flask answers errors itself, so none escapes to WSGI. `app.handle_user_exception` sees exceptions of
views and hooks before any error handler does; the signal `got_request_exception` reports those that
no handler answered.
Source: docs/internals/frameworks.md#flask.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import flask
from flask.signals import got_request_exception

from hogline.exception_kinds import http_status
from hogline.exchange import Exchange, Policy
from hogline.interceptors import wsgi
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["FlaskExchange", "PostHogInterceptor"]

_log = logging.getLogger("hogline")
_EXTENSION = "hogline"
_WITHOUT_BODY = (204, 304)


class FlaskExchange(wsgi.WsgiExchange):
    """A WSGI exchange that knows Flask's request and routes.

    Flask drops its request before the body is read, so the request is kept when the response
    begins.
    """

    _kept: flask.Request | None = None

    def __init__(self, application: flask.Flask, policy: Policy, environ: wsgi.Environ) -> None:
        super().__init__(policy, environ)
        self._application = application

    def request(self) -> Any:
        """Return the app's own `flask.request`, else a new one whose body cannot be read."""
        request = self._known()
        if request is not None:
            return request
        try:
            return self._application.request_class(self.environ, populate_request=False, shallow=True)
        except TypeError:  # the app's own request class takes other arguments
            return flask.Request(self.environ, populate_request=False, shallow=True)

    def find_route(self) -> str | None:
        """Return the rule of the matched route, with the prefix of its mount; None for a 404."""
        request = self._known()
        if request is None or request.url_rule is None:
            return super().find_route()
        return self.mounted_at(request.environ.get("SCRIPT_NAME")) + request.url_rule.rule

    def answering(self, status: int | None, headers: Sequence[tuple[str, str]]) -> None:
        """Keep the request, and call the app's callbacks if the body will be streamed."""
        self._kept = self._live()
        settings = self.policy.settings
        has_callbacks = settings.distinct_id is not None or settings.properties is not None
        # Flask sets the length of every body that is complete.
        if (
            has_callbacks
            and status not in _WITHOUT_BODY
            and not any(name.lower() == "content-length" for name, _ in headers)
        ):
            self.keep_callbacks()

    def keep_callbacks(self) -> None:
        """Call the callbacks now, for events that come after the view.

        `flask.session` still works at this moment.
        """
        if self._answers is None:
            settings = self.policy.settings
            names = [name for name in ("distinct_id", "properties") if getattr(settings, name) is not None]
            self.keep_answers({name: self.answer(name) for name in names})

    def _known(self) -> flask.Request | None:
        request = self._live()
        return request if request is not None else self._kept

    def _live(self) -> flask.Request | None:
        """Return the request that the app is handling now, or None."""
        request = self.environ.get("werkzeug.request")
        if isinstance(request, flask.Request):
            return request
        if flask.has_request_context():  # for middleware that copies the environ, and for streams
            environ = flask.request.environ
            exchange = environ.get(wsgi.EXCHANGE_KEY)
            if environ is self.environ or (exchange is not None and exchange.part(FlaskExchange) is self):
                return flask.request._get_current_object()  # type: ignore[attr-defined,no-any-return] # noqa: SLF001 - documented by Werkzeug
        return None


class PostHogInterceptor:
    """An extension for Flask apps. Keyword options are `InterceptorSettings`'."""

    def __init__(self, app: flask.Flask | None = None, **options: Unpack[InterceptorOptions]) -> None:
        self._policy = make_policy("flask", options)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Install the interceptor in *app*. An app has one; a second one is ignored."""
        if _EXTENSION in app.extensions:
            _log.warning("hogline: the Flask app %r has an interceptor already; the second one is ignored", app.name)
            return
        layer = _FlaskLayer(app, self._policy)
        app.extensions[_EXTENSION] = layer
        app.wsgi_app = layer  # type: ignore[method-assign]
        if self._policy.exceptions is not None:
            app.handle_user_exception = layer.observing(app.handle_user_exception)  # type: ignore[method-assign]
            # blinker holds the receiver weakly, so that the app can be collected.
            got_request_exception.connect(layer.unhandled, app)


class _FlaskLayer(wsgi.Layer):
    """The WSGI layer of one Flask app, and the observers inside the app."""

    keeps_request = True

    def __init__(self, app: flask.Flask, policy: Policy) -> None:
        super().__init__(app.wsgi_app, policy, functools.partial(FlaskExchange, app))

    def observing(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return `handle_user_exception` with an observer that runs first."""

        @functools.wraps(handle)
        def handle_user_exception(*args: Any, **kwargs: Any) -> Any:
            # The exception is the last argument: Flask 3.2 passes its context first.
            error = args[-1] if args else kwargs.get("e")
            self._note(error, handled=True)
            try:
                return handle(*args, **kwargs)
            except BaseException as raised:
                if raised is not error and isinstance(error, BaseException) and http_status(error) is None:
                    # Its handler raised too, so nothing answered it.
                    self._note(error, handled=False)
                raise

        return handle_user_exception

    def unhandled(self, sender: flask.Flask, exception: BaseException, **_: Any) -> None:
        """Record an exception that no handler answered; receives `got_request_exception`."""
        propagates = sender.config["PROPAGATE_EXCEPTIONS"]
        if propagates is None:
            propagates = sender.testing or sender.debug
        # With propagation it goes on, and middleware further out may answer it.
        exchange = self._note(exception, handled=bool(propagates))
        own = exchange.part(FlaskExchange) if exchange is not None else None
        if propagates and own is not None:
            own.keep_callbacks()

    def _note(self, error: Any, *, handled: bool) -> Exchange | None:
        if not isinstance(error, BaseException) or not flask.has_request_context():
            return None
        exchange: Exchange | None = flask.request.environ.get(wsgi.EXCHANGE_KEY)
        if exchange is not None:
            exchange.observe(error, handled=handled, policy=self._policy)
        return exchange
