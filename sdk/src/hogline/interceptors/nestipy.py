"""Nestipy: a global interceptor class in Nestipy's own sense, with a layer around the whole app.

    app.use_global_interceptors(posthog_interceptor(client=posthog, capture_exceptions=True))

Nestipy keeps the current request in one object for all requests, so with middleware that awaits, an
interceptor may get another visitor's request. So this one only observes exceptions; an ASGI layer
around the app, which has its own scope, owns context and facts. Nestipy answers every exception
with a new one that has no chain to the original, so no layer further out can observe the original.
Source: docs/internals/frameworks.md#ellar-and-nestipy.
"""

import functools
from typing import Any, ClassVar, Unpack

from nestipy.common import NestipyInterceptor
from nestipy.common.decorator import Injectable
from nestipy.core import NestipyApplication
from nestipy.core.exception.processor import ExceptionFilterHandler

from hogline.exception_kinds import http_status
from hogline.exchange import current_exchange
from hogline.interceptors import asgi
from hogline.interceptors.common.lifespan import App
from hogline.settings.typed import InterceptorOptions

__all__ = ["NestipyExchange", "PostHogInterceptor", "posthog_interceptor"]

_LAYER = "_hogline_layer"


class NestipyExchange(asgi.AsgiExchange):
    """An ASGI exchange that knows the route of Nestipy's adapters."""

    seen: BaseException | None = None
    """The exception that the handler raised, before Nestipy replaced it."""

    def find_route(self) -> str | None:
        """Return the template of the matched route; None for a 404.

        Nestipy has a route for 404s.
        """
        route = self.inner_scope.get("route")
        template = getattr(route, "path", None)
        if not isinstance(template, str) or template == _NOWHERE:
            return None
        return template


_NOWHERE = "/{full_path:path}"


class _Layer(asgi.PostHogInterceptor):
    """The part of the interceptor that stands around the app."""

    exchange_class: asgi.MakeExchange = NestipyExchange
    source = "nestipy"


@Injectable()
class PostHogInterceptor(NestipyInterceptor):  # type: ignore[misc]
    """A global interceptor for Nestipy apps: subclass it and set `options`.

    Nestipy itself instantiates it. `options` are those of `InterceptorSettings`.
    """

    options: ClassVar[dict[str, Any]] = {}
    layer: ClassVar[asgi.PostHogInterceptor]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.layer = _Layer(_nowhere, **cls.options)

    async def intercept(self, context: Any, next_fn: Any) -> Any:  # noqa: ARG002 - its request may be another visitor's
        """Run the handler and inner interceptors, and observe exceptions."""
        try:
            return await next_fn()
        except BaseException as error:
            _note(error, self.layer)
            raise


def posthog_interceptor(**options: Unpack[InterceptorOptions]) -> type[PostHogInterceptor]:
    """Return an interceptor class with these *options*, those of `InterceptorSettings`.

    Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot
    work.
    """
    return Injectable()(type("PostHogInterceptor", (PostHogInterceptor,), {"options": options}))  # type: ignore[no-any-return]


async def _nowhere(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """Stand in for the app of an interceptor that has none yet."""


PostHogInterceptor.layer = _Layer(_nowhere)


def _note(error: BaseException, layer: asgi.PostHogInterceptor) -> None:
    exchange = current_exchange()
    if isinstance(exchange, NestipyExchange):
        exchange.seen = error
        # Unless a filter answers it (see `catch` below), only Nestipy's last resort does.
        exchange.observe(error, handled=http_status(error) is not None, policy=layer.policy)


# A patch: an app has no hook outside the adapter, which all requests share.
# A second patch: only the method that calls all filters knows whether one answered.
@functools.cache
def _hook_app() -> None:
    call, ask = NestipyApplication.__call__, ExceptionFilterHandler.catch

    @functools.wraps(call)
    async def __call__(app: Any, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:  # noqa: N807 - it replaces that method
        if _LAYER not in app.__dict__:
            setattr(app, _LAYER, _around(app, functools.partial(call, app)))
        await getattr(app, _LAYER)(scope, receive, send)

    @functools.wraps(ask)
    async def catch(handler: Any, *args: Any, **kwargs: Any) -> Any:
        answer = await ask(handler, *args, **kwargs)
        exchange = current_exchange()
        if answer and isinstance(exchange, NestipyExchange) and exchange.seen is not None:
            exchange.observe(exchange.seen, handled=True)
        return answer

    NestipyApplication.__call__ = __call__
    ExceptionFilterHandler.catch = catch


def _around(app: Any, call: App) -> App:
    """Return the layers of the interceptors registered on *app*, outermost first."""
    layered = call
    for interceptor in reversed(app.get_adapter().get_global_interceptors()):
        if isinstance(interceptor, type) and issubclass(interceptor, PostHogInterceptor):
            layered = interceptor.layer.around(layered)
    return layered


_hook_app()
