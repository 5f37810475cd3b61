"""Bottle: a plugin, and a layer around the whole app.

    app.install(PostHogInterceptor(client=posthog, capture_exceptions=True))

A plugin wraps the callbacks of routes. It also learns the app that it is installed in, and wraps
`app.wsgi`, which every server calls. Plugins do not see hooks, routing, or a generator that fails
before its first item: Bottle turns these errors into `HTTPError`s, which all go through the app's
private `_cast`. Without that method the interceptor sees only what a plugin sees. Source:
docs/internals/frameworks.md#bottle.
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

    answers_with_exc_info = False  # Bottle passes only exceptions that its last resort answered

    def request(self) -> Any:
        """Return a new request with everything that the app has put on its own request.

        Bottle keeps attributes in the environ.
        """
        return bottle.BaseRequest(dict(self.environ))

    def find_route(self) -> str | None:
        """Return the rule of the matched route, with the prefix of its mount; None for a 404."""
        route = self.environ.get("bottle.route")
        if route is None:
            return super().find_route()
        return self.mounted_at(self.environ.get("SCRIPT_NAME")) + str(route.rule)


class PostHogInterceptor:
    """A plugin for Bottle apps. Keyword options are `InterceptorSettings`'."""

    name = "hogline"
    api = 2

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self._policy = make_policy("bottle", options)
        self._app: Any = None

    def setup(self, app: bottle.Bottle) -> None:
        """Wrap *app*; Bottle calls this when the plugin is installed.

        An app has one; a second one is ignored.
        """
        if self._app is not None or any(isinstance(plugin, PostHogInterceptor) for plugin in app.plugins):
            _log.warning("hogline: the Bottle app %r has an interceptor already; the second one is ignored", app)
            return
        self._app = app
        # Bottle refuses to set an attribute twice. Replacing this one is safe, since the layer
        # calls the one that was there.
        object.__setattr__(app, "wsgi", wsgi.Layer(app.wsgi, self._policy, BottleExchange))
        if self._policy.exceptions is not None and hasattr(app, "_cast"):
            object.__setattr__(app, "_cast", self._observing(app._cast))  # noqa: SLF001 - see the module's docstring

    def apply(self, callback: Callable[..., Any], _route: Any) -> Callable[..., Any]:
        """Return a route's callback with an observer.

        `_cast` and the layer find out whether the exception is answered.
        """
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

    def _observing(self, cast: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(cast)
        def _cast(out: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(out, bottle.HTTPResponse):
                cause = getattr(out, "exception", None)
                if isinstance(cause, BaseException):
                    self._note(cause, handled=False)
                elif out.__traceback__ is not None:
                    # This one was raised; a returned one is an ordinary response.
                    self._note(out, handled=True)
            return cast(out, *args, **kwargs)

        return _cast

    def _note(self, error: BaseException, *, handled: bool) -> None:
        exchange = bottle.request.environ.get(wsgi.EXCHANGE_KEY)
        if exchange is not None:
            exchange.observe(error, handled=handled, policy=self._policy)
