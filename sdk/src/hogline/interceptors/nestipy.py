"""Nestipy: a global interceptor class, as its users write them, that stands around the whole app too.

    app.use_global_interceptors(posthog_interceptor(client=posthog, capture_exceptions=True))

Nestipy keeps the request that it works on in one object for all of them: with middleware that waits, an interceptor may be
handed another visitor's. So the interceptor only looks at exceptions; context and facts are those of an ASGI layer around
the app, whose request is its own. Nestipy answers everything itself, and what it makes of an exception has no chain back to
it: seen here, or nowhere.  Source: docs/internals/frameworks.md#ellar-and-nestipy.
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
    """An ASGI exchange that knows what Nestipy's adapters say of the route."""

    seen: BaseException | None = None
    """What the handler raised, before Nestipy made something else of it."""

    def find_route(self) -> str | None:
        """Return the template of the matched route; None for a 404, which is a route of Nestipy's own."""
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
    """A global interceptor for Nestipy apps. Nestipy makes interceptors itself: subclass it, with `options` of your own.

    `options` are `InterceptorSettings`'.
    """

    options: ClassVar[dict[str, Any]] = {}
    layer: ClassVar[asgi.PostHogInterceptor]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.layer = _Layer(_nowhere, **cls.options)

    async def intercept(self, context: Any, next_fn: Any) -> Any:  # noqa: ARG002 - the request it knows may be another's
        """Run what is inside, and look at what it raises."""
        try:
            return await next_fn()
        except BaseException as error:
            _note(error, self.layer)
            raise


def posthog_interceptor(**options: Unpack[InterceptorOptions]) -> type[PostHogInterceptor]:
    """Return an interceptor class with these *options*, which are `InterceptorSettings`'.

    Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot work.
    """
    return Injectable()(type("PostHogInterceptor", (PostHogInterceptor,), {"options": options}))  # type: ignore[no-any-return]


async def _nowhere(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """Be the app of an interceptor that has none yet."""


PostHogInterceptor.layer = _Layer(_nowhere)


def _note(error: BaseException, layer: asgi.PostHogInterceptor) -> None:
    exchange = current_exchange()
    if isinstance(exchange, NestipyExchange):
        exchange.seen = error
        # Unless a filter answers it, which is seen below, only Nestipy's last resort does.
        exchange.observe(error, handled=http_status(error) is not None, policy=layer.policy)


# A patch: an app has no place outside of the adapter that its requests share.
# And another: which filter answered is known to the method that asks them all.
@functools.cache
def _hook_app() -> None:
    call, ask = NestipyApplication.__call__, ExceptionFilterHandler.catch

    @functools.wraps(call)
    async def __call__(app: Any, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:  # noqa: N807 - it is
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
    """Return the layers of the interceptors that are registered on *app*, the first one outermost."""
    layered = call
    for interceptor in reversed(app.get_adapter().get_global_interceptors()):
        if isinstance(interceptor, type) and issubclass(interceptor, PostHogInterceptor):
            layered = interceptor.layer.around(layered)
    return layered


_hook_app()
