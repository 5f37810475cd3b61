"""Falcon, WSGI and ASGI: installed in an app, as a layer around all of it.

    PostHogInterceptor(app, client=posthog, capture_exceptions=True)
    PostHogInterceptor(client=posthog, capture_exceptions=True).install(app)    # the same

Falcon's middleware ends before the body is rendered and streamed, and an app has slots, so none of
its methods can be replaced. The app's class is therefore replaced by a subclass whose `__call__`
goes through the layer of its protocol; the app stays the same object. The documented error reporter
(Falcon 4.4) reports exceptions; in older versions one private method handles all of them. Source:
docs/internals/frameworks.md#falcon.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Unpack

import falcon
import falcon.asgi

from hogline.exception_kinds import http_status, is_within
from hogline.exchange import Policy
from hogline.guard import guard
from hogline.interceptors import asgi, wsgi
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor"]

_log = logging.getLogger("hogline")
_LAYER = "_hogline_layer"
_SOURCE = "falcon"
_Reporter = Callable[[Any, BaseException, dict[str, Any], bool], None]


class _FalconExchange:
    """The part that the exchanges of both protocols share."""

    mounted_at: Callable[[str | None], str]
    application: Any = None
    known: Any = None  # the app's own request, once there is one
    answered: BaseException | None = None  # the last exception that Falcon reported

    def find_route(self) -> str | None:
        """Return the template of the matched route, with the prefix of its mount.

        Returns None for a 404, a sink or a static file.
        """
        template = getattr(self.known, "uri_template", None)
        if not isinstance(template, str):
            return None
        return str(self.mounted_at(self.known.root_path)) + template


class WsgiExchange(_FalconExchange, wsgi.WsgiExchange):
    """A WSGI exchange that knows Falcon's request and routes."""

    def request(self) -> Any:
        """Return the app's own request, else a new one like it."""
        if self.known is not None:
            return self.known
        make = getattr(self.application, "_request_type", falcon.Request)
        return make(self.environ, options=getattr(self.application, "req_options", None))


class AsgiExchange(_FalconExchange, asgi.AsgiExchange):
    """An ASGI exchange that knows Falcon's request and routes."""

    def request(self) -> Any:
        """Return the app's own request, else a new one like it without a body."""
        if self.known is not None:
            return self.known
        make = getattr(self.application, "_request_type", falcon.asgi.Request)
        return make(dict(self.scope), _no_body, options=getattr(self.application, "req_options", None))


class PostHogInterceptor:
    """An interceptor for Falcon apps. Keyword options are `InterceptorSettings`'."""

    def __init__(self, app: Any = None, **options: Unpack[InterceptorOptions]) -> None:
        self._policy = make_policy(_SOURCE, options)
        self._options = options
        if app is not None:
            self.install(app)

    def install(self, app: Any) -> None:
        """Install the interceptor in *app*, a `falcon.App` or `falcon.asgi.App`.

        An app has one; a second one is ignored.
        """
        kind = type(app)
        if getattr(kind, _LAYER, None) is not None:
            _log.warning("hogline: the Falcon app %r has an interceptor already; the second one is ignored", app)
            return
        is_asgi = isinstance(app, falcon.asgi.App)
        layer: Any = _Layer(app, self._options) if is_asgi else None
        observer = _AppObserver(app, layer.policy if is_asgi else self._policy, is_asgi=is_asgi)
        members = {
            **(_asgi_call(layer) if is_asgi else _wsgi_call(app, observer)),
            **(_reporting if hasattr(kind, "set_error_reporter") else _handling)(kind, observer, is_asgi=is_asgi),
        }
        own = {
            "__slots__": (),
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "__doc__": kind.__doc__,
        }
        app.__class__ = type(kind.__name__, (kind,), {**own, **members})
        app.add_middleware(_Middleware(observer))
        if "set_error_reporter" in members:
            app.set_error_reporter(getattr(app, "_report_error", None))


class _Layer(asgi.PostHogInterceptor):
    """The ASGI layer of one Falcon app."""

    source = _SOURCE

    def __init__(self, app: Any, options: Mapping[str, Any]) -> None:
        kind = type(app)

        async def call(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
            await kind.__call__(app, scope, receive, send)

        super().__init__(call, **options)
        self.exchange_class = type("AsgiExchange", (AsgiExchange,), {"application": app})


class _AppObserver:
    """Observes the requests of one app from inside it."""

    def __init__(self, application: Any, policy: Policy, *, is_asgi: bool) -> None:
        self._application = application
        self.policy = policy
        self._is_asgi = is_asgi
        self._kind = AsgiExchange if is_asgi else WsgiExchange

    def exchange(self, request: Any) -> Any:
        """Return the exchange of Falcon's *request*; None outside any.

        From then on the exchange knows *request*.
        """
        carrier = request.scope if self._is_asgi else request.env
        exchange = carrier.get(asgi.EXCHANGE_KEY)
        if exchange is None:
            return None
        known = exchange.part(_FalconExchange)
        if known is None:
            known = self.make(self.policy, carrier)
            exchange.adopt(known)
        known.known = request
        return exchange

    def make(self, policy: Policy, carrier: Any) -> Any:
        """Return an exchange for a request of this app."""
        exchange = self._kind(policy, carrier)
        exchange.application = self._application
        return exchange

    def reported(self, request: Any, error: BaseException, *, rendered: bool) -> None:
        """Record an exception that Falcon handled; *rendered*: it became a response."""
        with guard("exception capture", self.policy.lose_exception):
            exchange = self.exchange(request)
            if exchange is None:
                return
            known = exchange.part(_FalconExchange)
            before, known.answered = known.answered, error
            # A handler that raises an HTTP error answers with it: that is no second mistake.
            if (
                before is not None
                and before is not error
                and http_status(error) is not None
                and is_within(before, error)
            ):
                return
            exchange.observe(error, handled=rendered and not self._is_last_resort(error), policy=self.policy)

    def _is_last_resort(self, error: BaseException) -> bool:
        """Return whether only Falcon's own handler for every exception answered.

        No public method says so.
        """
        handler = self._application._find_error_handler(error)  # noqa: SLF001 - see above
        return getattr(handler, "__name__", None) == "_python_error_handler"


class _Middleware:
    """Falcon middleware that gives the exchange the request.

    Falcon finds asynchronous methods by their names.
    """

    def __init__(self, observer: _AppObserver) -> None:
        self._observer = observer

    def process_request(self, request: Any, _response: Any) -> None:
        """Keep the request, before it is routed; its template is read later."""
        self._observer.exchange(request)

    async def process_request_async(self, request: Any, _response: Any) -> None:
        """Keep the request."""
        self._observer.exchange(request)

    async def process_request_ws(self, request: Any, _socket: Any) -> None:
        """Keep the request of a WebSocket."""
        self._observer.exchange(request)


def _wsgi_call(app: Any, observer: _AppObserver) -> dict[str, Any]:
    kind = type(app)

    def call(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> Any:
        return kind.__call__(app, environ, start_response)

    layer = wsgi.Layer(call, observer.policy, observer.make)

    # Falcon's test client inspects these arguments.
    def __call__(self: Any, env: wsgi.Environ, start_response: wsgi.StartResponse) -> Any:  # noqa: ARG001, N807
        return layer(env, start_response)

    return {"__call__": __call__, _LAYER: layer}


def _asgi_call(layer: _Layer) -> dict[str, Any]:
    async def __call__(self: Any, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:  # noqa: ARG001, N807
        await layer(scope, receive, send)

    return {"__call__": __call__, _LAYER: layer}


def _reporting(kind: Any, observer: _AppObserver, *, is_asgi: bool) -> dict[str, Any]:  # noqa: ARG001 - as `_handling`
    """Return a `set_error_reporter` that calls our reporter and the app's.

    An app has only one error reporter (rule `chain-single-slots`).
    """

    def set_error_reporter(self: Any, reporter: _Reporter | None) -> None:
        def report(request: Any, error: BaseException, params: dict[str, Any], handled: bool) -> None:
            observer.reported(request, error, rendered=handled)
            if reporter is not None:
                reporter(request, error, params, handled)

        kind.set_error_reporter(self, report)

    return {"set_error_reporter": set_error_reporter}


def _handling(kind: Any, observer: _AppObserver, *, is_asgi: bool) -> dict[str, Any]:
    """Return Falcon's private method for exceptions, with an observer.

    This is for a Falcon without error reporters. An error handler cannot observe: one that is
    registered for a class hides the one for its base class.
    """

    def after(request: Any, error: BaseException, raised: BaseException | None, *, rendered: bool) -> None:
        observer.reported(request, error, rendered=rendered)
        if raised is not None and raised is not error:
            observer.reported(request, raised, rendered=False)

    def handle(self: Any, req: Any, resp: Any, ex: BaseException, params: dict[str, Any]) -> Any:
        try:
            rendered = kind._handle_exception(self, req, resp, ex, params)  # noqa: SLF001 - see above
        except BaseException as raised:
            after(req, ex, raised, rendered=False)
            raise
        after(req, ex, None, rendered=rendered)
        return rendered

    async def handle_async(
        self: Any, req: Any, resp: Any, ex: BaseException, params: dict[str, Any], **more: Any
    ) -> Any:
        try:
            rendered = await kind._handle_exception(self, req, resp, ex, params, **more)  # noqa: SLF001 - see above
        except BaseException as raised:
            after(req, ex, raised, rendered=False)
            raise
        after(req, ex, None, rendered=rendered)
        return rendered

    return {"_handle_exception": handle_async if is_asgi else handle}


async def _no_body() -> dict[str, Any]:
    return {"type": "http.disconnect"}
