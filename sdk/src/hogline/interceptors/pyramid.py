"""Pyramid: included in a configuration, as a layer around the whole router.

    config.include("hogline.interceptors.pyramid")      # options are settings: hogline.client, ...
    PostHogInterceptor(config, client=posthog, capture_exceptions=True)      # or in code

The execution policy, a documented hook, gets the environ before anything else and returns the WSGI
app that the router calls. So the WSGI layer surrounds tweens, callbacks and the iteration of the
body. A tween inside Pyramid's exception views observes the exceptions that they turn into
responses. Source: docs/internals/frameworks.md#pyramid.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from pyramid.interfaces import PHASE3_CONFIG, IExecutionPolicy, IRequestFactory
from pyramid.request import Request
from pyramid.router import default_execution_policy
from pyramid.settings import asbool, aslist
from pyramid.threadlocal import get_current_request
from pyramid.tweens import EXCVIEW

from hogline.exchange import Exchange, Policy, current_exchange
from hogline.interceptors import wsgi
from hogline.interceptors.common.options import make_policy
from hogline.settings import ExceptionCapture
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor", "PyramidExchange", "includeme", "observer_factory"]

_log = logging.getLogger("hogline")
_KEY = "hogline.interceptor"
_PREFIX = "hogline."
# Later than the app's own execution policy, wherever that is set.
_AFTER_POLICIES = PHASE3_CONFIG + 1000
_FLAGS = ("identity_headers", "read_cookie")
_DOTTED = ("client", "distinct_id", "properties", "request_filter")


class PyramidExchange(wsgi.WsgiExchange):
    """A WSGI exchange that knows Pyramid's request and routes.

    Pyramid drops its request before the body is read.
    """

    registry: Any = None
    _kept: Any = None

    def request(self) -> Any:
        """Return the app's own request, else a new one like it."""
        request = self.keep(get_current_request())
        if request is None:
            make = self.registry.queryUtility(IRequestFactory, default=Request)
            request = make(dict(self.environ))
            request.registry = self.registry
        return request

    def find_route(self) -> str | None:
        """Return the matched route's pattern, after the prefix of its mount.

        Returns None for a 404 and for traversal.
        """
        request = self.keep(get_current_request())
        route = getattr(request, "matched_route", None)
        if route is None:
            return super().find_route()
        return f"{self.mounted_at(request.environ.get('SCRIPT_NAME'))}/{route.pattern.lstrip('/')}"

    def keep(self, request: Any) -> Any:
        """Keep *request* if it is this exchange's own; return the one that is kept."""
        if request is not None:
            exchange = request.environ.get(wsgi.EXCHANGE_KEY)
            if request.environ is self.environ or (exchange is not None and exchange.part(PyramidExchange) is self):
                self._kept = request
        return self._kept


class PostHogInterceptor:
    """An interceptor for the app that a Pyramid configuration makes.

    Keyword options are `InterceptorSettings`'.
    """

    def __init__(self, config: Any, **options: Unpack[InterceptorOptions]) -> None:
        self.policy: Policy = make_policy("pyramid", options)
        registry = config.registry
        if _KEY in registry:
            _log.warning("hogline: the Pyramid app has an interceptor already; the second one is ignored")
            return
        registry[_KEY] = self
        config.action(None, self._surround, args=(registry,), order=_AFTER_POLICIES)
        config.add_tween(f"{__name__}.{observer_factory.__name__}", under=EXCVIEW)

    def _surround(self, registry: Any) -> None:
        """Put the layer around the app's execution policy, Pyramid's own or another."""
        inner = registry.queryUtility(IExecutionPolicy, default=default_execution_policy)

        def make(policy: Policy, environ: wsgi.Environ) -> PyramidExchange:
            exchange = PyramidExchange(policy, environ)
            exchange.registry = registry
            return exchange

        def execute(_environ: wsgi.Environ, router: Any) -> wsgi.App:
            def app(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> Any:
                return inner(environ, router)(environ, start_response)

            return wsgi.Layer(app, self.policy, make)

        registry.registerUtility(execute, IExecutionPolicy)


def observer_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween that sees the request, and exceptions before Pyramid's exception views do.

    The outer layer learns whether a view answers them.
    """
    interceptor: PostHogInterceptor = registry[_KEY]

    def observe(request: Any) -> Any:
        exchange: Exchange | None = request.environ.get(wsgi.EXCHANGE_KEY)
        known = exchange.part(PyramidExchange) if exchange is not None else None
        if known is not None:
            known.keep(request)
        try:
            return handler(request)
        except BaseException as error:
            # A subrequest has its own environ but belongs to the request that makes it.
            exchange = exchange or current_exchange()
            if exchange is not None:
                exchange.observe(error, handled=True, policy=interceptor.policy)
            raise

    return observe


def includeme(config: Any) -> None:
    """Install the interceptor with the settings that begin with `hogline.`.

    Strings, as in an .ini file, are parsed.

    Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot
    work.
    """
    given = {
        name.removeprefix(_PREFIX): value
        for name, value in (config.registry.settings or {}).items()
        if name.startswith(_PREFIX)
    }
    more = "capture_exceptions."
    rules = {name.removeprefix(more): given.pop(name) for name in list(given) if name.startswith(more)}
    options = {name: _value(config, name, value) for name, value in given.items()}
    if rules and options.get("capture_exceptions", True):
        options["capture_exceptions"] = _capture(config, rules)
    PostHogInterceptor(config, **options)


def _value(config: Any, name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name in _DOTTED:
        return config.maybe_dotted(value)
    if name in _FLAGS or name == "capture_exceptions":
        return asbool(value)
    if name == "trusted_proxies":
        return int(value) if value.strip().isdigit() else aslist(value)
    return value


def _capture(config: Any, rules: Mapping[str, Any]) -> ExceptionCapture:
    known = dict(rules)
    if isinstance(known.get("ignore"), str):
        known["ignore"] = tuple(config.maybe_dotted(name) for name in aslist(known["ignore"]))
    if "min_status_to_capture" in known:
        known["min_status_to_capture"] = int(known["min_status_to_capture"])
    return ExceptionCapture(**known)
