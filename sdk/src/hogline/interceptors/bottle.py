"""Bottle: a plugin, and around the whole app.

    app.install(PostHogInterceptor(client=posthog, capture_exceptions=True))

A plugin wraps the callbacks of routes, and is told of the app that it is installed in; there we stand around `app.wsgi`, as
every server calls it. Plugins do not see hooks, routing, nor a generator that fails before its first item: Bottle makes
`HTTPError`s of them, which all go through the app's `_cast`. It is the one private place that we look at; without it, a
plugin's view is what is left. Source: docs/internals/frameworks.md#bottle.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, Unpack

import bottle

from hogline.interceptors import wsgi
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["BottleExchange", "PostHogInterceptor"]

_log = logging.getLogger("hogline")


class BottleExchange(wsgi.WsgiExchange):
    """A WSGI exchange that knows Bottle's request and routes; both live in the environ."""

    answers_with_exc_info = False  # what Bottle passes to start_response, its last resort has answered
    outside: str | None = None  # where the outermost interceptor, if it is another one, is mounted

    def request(self) -> Any:
        """Return a request of our own, with all that the app has put on its own one: attributes are kept in the environ."""
        return bottle.BaseRequest(dict(self.environ))

    def find_route(self) -> str | None:
        """Return the rule of the matched route, with the prefix of its mount; None for a 404."""
        route = self.environ.get("bottle.route")
        if route is None:
            return super().find_route()
        outside = self.prefix if self.outside is None else self.outside
        mount: str = (self.environ.get("SCRIPT_NAME") or "").rstrip("/").removeprefix(outside.rstrip("/"))
        return mount + str(route.rule)


class _Layer(wsgi.Layer):
    """The WSGI layer of one Bottle app."""

    def know_inside(self, exchange: wsgi.WsgiExchange, environ: wsgi.Environ) -> None:
        """Let an exchange that knows no Bottle find routes through us."""
        if exchange.inner is None:
            own = BottleExchange(self._policy, environ)
            own.outside = exchange.prefix
            exchange.adopt(own)


class PostHogInterceptor:
    """A plugin for Bottle apps. Keyword options are `InterceptorSettings`'."""

    name = "hogline"
    api = 2

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self._policy = make_policy("bottle", options)
        self._app: Any = None

    def setup(self, app: bottle.Bottle) -> None:
        """Stand around *app*; Bottle calls this when the plugin is installed. An app has one; a second one is ignored."""
        if self._app is not None or any(isinstance(plugin, PostHogInterceptor) for plugin in app.plugins):
            _log.warning("hogline: the Bottle app %r has an interceptor already; the second one is ignored", app)
            return
        self._app = app
        # Bottle guards its attributes against being set twice, which does not concern what we pass everything on to.
        object.__setattr__(app, "wsgi", _Layer(app.wsgi, self._policy, BottleExchange))
        if self._policy.exceptions is not None and hasattr(app, "_cast"):
            object.__setattr__(app, "_cast", self._watching(app._cast))  # noqa: SLF001 - see the module's docstring

    def apply(self, callback: Callable[..., Any], _route: Any) -> Callable[..., Any]:
        """Return the callback of a route with a look at what it raises. What becomes of it, `_cast` and the layer tell."""
        if self._app is None or self._policy.exceptions is None:
            return callback

        @functools.wraps(callback)
        def observed(*args: Any, **kwargs: Any) -> Any:
            try:
                return callback(*args, **kwargs)
            except BaseException as error:
                self._note(error, handled=True)
                raise

        return observed

    def _watching(self, cast: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(cast)
        def _cast(out: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(out, bottle.HTTPResponse):
                cause = getattr(out, "exception", None)
                if isinstance(cause, BaseException):
                    self._note(cause, handled=False)
                elif out.__traceback__ is not None:  # raised; one that is returned is a response like any other
                    self._note(out, handled=True)
            return cast(out, *args, **kwargs)

        return _cast

    def _note(self, error: BaseException, *, handled: bool) -> None:
        exchange = bottle.request.environ.get(wsgi.EXCHANGE_KEY)
        if exchange is not None:
            exchange.observe(error, handled=handled, policy=self._policy)
