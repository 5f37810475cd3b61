"""Flask: an extension, around the whole WSGI app.

    PostHogInterceptor(app, client=posthog, capture_exceptions=True)      # or PostHogInterceptor(...).init_app(app)

Flask answers errors itself, so nothing escapes to WSGI: `app.handle_user_exception` sees what views, hooks and their like
raise before any error handler does, and the signal `got_request_exception` what no handler answered, wherever it arose.
Source: docs/internals/frameworks.md#flask.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, Unpack

import flask
from flask.signals import got_request_exception

from hogline.exception_kinds import http_status
from hogline.exchange.policy import Policy
from hogline.interceptors import wsgi
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["FlaskExchange", "PostHogInterceptor"]

_log = logging.getLogger("hogline")
_EXTENSION = "hogline"
_WITHOUT_BODY = (204, 304)


class FlaskExchange(wsgi.WsgiExchange):
    """A WSGI exchange that knows Flask's request and routes.

    Flask lets go of its request before the body is read; what is still needed then is kept when the response begins.
    """

    _kept: flask.Request | None = None

    def __init__(self, application: flask.Flask, policy: Policy, environ: wsgi.Environ) -> None:
        super().__init__(policy, environ)
        self._application = application

    def request(self) -> Any:
        """Return the app's own `flask.request`, or one like it whose body cannot be read, when there is none."""
        request = self._known()
        if request is not None:
            return request
        try:
            return self._application.request_class(self.environ, populate_request=False, shallow=True)
        except TypeError:  # the app's own class is made in another way
            return flask.Request(self.environ, populate_request=False, shallow=True)

    def find_route(self) -> str | None:
        """Return the rule of the matched route, with the prefix of its mount; None for a 404."""
        request = self._known()
        if request is None or request.url_rule is None:
            return super().find_route()
        mount = (request.environ.get("SCRIPT_NAME") or "").removeprefix(self._script_name or "")
        return mount.rstrip("/") + request.url_rule.rule

    def answering(self, status: int | None, headers: wsgi.Headers) -> None:
        """Keep the request, and ask the callbacks if the body is one that is made while it is read."""
        self._kept = self._live()
        settings = self.policy.settings
        asks = settings.distinct_id is not None or settings.properties is not None
        # Flask knows the length of every body that is there already.
        if asks and status not in _WITHOUT_BODY and not any(name.lower() == "content-length" for name, _ in headers):
            self.keep_callbacks()

    def keep_callbacks(self) -> None:
        """Ask the callbacks now, while `flask.session` and its like work: later events come when Flask is done."""
        if self._answers is None:
            settings = self.policy.settings
            names = [name for name in ("distinct_id", "properties") if getattr(settings, name) is not None]
            self.keep_answers({name: self.answer(name) for name in names})

    def _known(self) -> flask.Request | None:
        request = self._live()
        return request if request is not None else self._kept

    def _live(self) -> flask.Request | None:
        """Return the request that the app works on now, or None."""
        request = self.environ.get("werkzeug.request")
        if isinstance(request, flask.Request):
            return request
        if flask.has_request_context():  # other middleware hands on a copy of the environ; and streams
            environ = flask.request.environ
            if environ is self.environ or environ.get(wsgi.EXCHANGE_KEY) is self:
                return flask.request._get_current_object()  # type: ignore[attr-defined,no-any-return] # noqa: SLF001 - its documented name
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
            app.handle_user_exception = layer.around(app.handle_user_exception)  # type: ignore[method-assign]
            # Weakly: blinker would hold the layer, and so the app, longer than anybody else.
            got_request_exception.connect(layer.unhandled, app)


class _FlaskLayer(wsgi.Layer):
    """The WSGI layer of one Flask app, and its eyes inside of it."""

    keeps_request = True

    def __init__(self, app: flask.Flask, policy: Policy) -> None:
        super().__init__(app.wsgi_app, policy, functools.partial(FlaskExchange, app))

    def know_inside(self, exchange: wsgi.WsgiExchange, environ: wsgi.Environ) -> None:
        """Let an exchange that knows no Flask find routes through us."""
        exchange.adopt(self._make_exchange(self._policy, environ))

    def around(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return `handle_user_exception` with a look at the exception first."""

        @functools.wraps(handle)
        def handle_user_exception(*args: Any, **kwargs: Any) -> Any:
            # Only the last argument is known to be the exception: Flask 3.2 puts its context in front.
            error = args[-1] if args else kwargs.get("e")
            self._note(error, handled=True)
            try:
                return handle(*args, **kwargs)
            except BaseException as raised:
                if raised is not error and isinstance(error, BaseException) and http_status(error) is None:
                    self._note(error, handled=False)  # its handler failed: nothing became of it
                raise

        return handle_user_exception

    def unhandled(self, sender: flask.Flask, exception: BaseException, **_: Any) -> None:
        """Note what no handler answered; the receiver of `got_request_exception`."""
        propagates = sender.config["PROPAGATE_EXCEPTIONS"]
        if propagates is None:
            propagates = sender.testing or sender.debug
        # On its way out, there may still be middleware that answers it.
        exchange = self._note(exception, handled=bool(propagates))
        if propagates and isinstance(exchange, FlaskExchange):
            exchange.keep_callbacks()

    def _note(self, error: Any, *, handled: bool) -> wsgi.WsgiExchange | None:
        if not isinstance(error, BaseException) or not flask.has_request_context():
            return None
        exchange: wsgi.WsgiExchange | None = flask.request.environ.get(wsgi.EXCHANGE_KEY)
        if exchange is not None:
            exchange.observe(error, handled=handled, policy=self._policy)
        return exchange
