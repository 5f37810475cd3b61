"""aiohttp.web: one middleware, the first of the list, with an observer inside all the others.

    interceptor = PostHogInterceptor(client=posthog, capture_exceptions=True)
    app = web.Application(middlewares=[interceptor, ...])

Each request is a task of its own, so the context stays when the handler returns: a streamed body,
and everything else until the task ends, still belongs to the visitor.
Source: docs/internals/frameworks.md#aiohttp.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, Unpack

from aiohttp import web

from hogline.context import clear_context
from hogline.exception_kinds import is_within
from hogline.exchange import Exchange, RequestLine
from hogline.exchange.policy import Policy
from hogline.facts import cors
from hogline.facts.tracing import latin1_headers
from hogline.facts.url import local_address, visited_scheme
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["AiohttpExchange", "PostHogInterceptor"]

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

# aiohttp 3.14 and later warn about plain strings as keys.
_KEY: Any = web.RequestKey("hogline.exchange", object) if hasattr(web, "RequestKey") else "hogline.exchange"
_CLOSING = "Cannot write to closing transport"  # aiohttp before 3.10.6, in a built-in class
_MAX_LAYERS = 200
# On a handler: (the interceptor, the handler, the observed handler).
_OBSERVED = "_hogline_observed"


class AiohttpExchange(Exchange):
    """An exchange whose request is aiohttp's."""

    # The exception that left the interceptor for aiohttp to answer.
    _escaped: BaseException | None = None
    _expected: int | None = None  # the status that aiohttp would answer it with

    def __init__(self, policy: Policy, request: web.Request) -> None:
        super().__init__(policy)
        self._request = request

    def read(self) -> RequestLine:
        """Return the request line.

        `request.url` and `.host` are avoided: a bad Host header makes them raise.
        """
        request = self._request
        return (
            request.method,
            visited_scheme(request.scheme, request.headers.get("Upgrade")),
            request.path,
            request.raw_path.partition("?")[2],  # still encoded
            request.remote,
        )

    def server(self) -> str | None:
        """Return the socket's own address."""
        return local_address(self._request.transport)

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*."""
        return latin1_headers(self._request.headers, name)

    def request(self) -> Any:
        """Return the `web.Request`."""
        return self._request

    def find_route(self) -> str | None:
        """Return the matched resource's template; None for a 404.

        The template includes a sub-application's prefix.
        """
        resource = self._request.match_info.route.resource
        return resource.canonical if resource is not None else None

    def is_gone(self, error: BaseException) -> bool:
        """Return whether *error* means that this request's client left.

        aiohttp's HTTP client raises the same class.
        """
        if not isinstance(error, ConnectionResetError):
            return False
        if type(error).__module__ == "builtins" and str(error) != _CLOSING:
            return False
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def escape(self, error: BaseException) -> None:
        """Record an exception that leaves the interceptor, for aiohttp to answer."""
        self._escaped = error
        if self.is_gone(error):
            return
        if isinstance(error, web.HTTPException):
            self.observe(error, handled=True, status=error.status)
            return
        expected = 504 if isinstance(error, asyncio.TimeoutError) else 500
        if self.status is None:  # otherwise the response has begun, and nothing can answer any more
            self._expected = expected
        self.observe(error, handled=False, status=expected)

    def watch(self) -> None:
        """Observe the status that is sent, and the end of the request's task.

        This patches the request's own writer: the signal `on_response_prepare` is frozen by the
        time that a middleware runs, and is not sent for aiohttp's own answer to an error.
        """
        writer: Any = self._request.writer
        write_headers = writer.write_headers

        async def watched(status_line: str, *args: Any, **kwargs: Any) -> None:
            self.status = int(status_line.split(" ", 2)[1])
            await write_headers(status_line, *args, **kwargs)

        writer.write_headers = watched
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        """Record an exception of a body while it was sent, then judge all of them.

        aiohttp only logs such an exception.
        """
        error = None if task.cancelled() else task.exception()
        # When aiohttp cannot answer an error any more, it raises another while it handles the
        # first.
        known = self._escaped is not None and error is not None and is_within(self._escaped, error)
        if error is not None and not known and not self.is_gone(error):
            self.observe(error, handled=False)
        if self._escaped is not None and self._expected not in (None, self.status):
            self.observe(self._escaped, handled=True)  # an outer middleware answered it
        self.close()
        # This breaks the cycle of writer and exchange.
        vars(self._request.writer).pop("write_headers", None)


class PostHogInterceptor:
    """Middleware for aiohttp's applications and sub-applications.

    Keyword options are `InterceptorSettings`'.
    """

    __middleware_version__ = 1  # `@web.middleware` sets this on a function

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self._policy = make_policy("aiohttp", options)
        self._callbacks = Callbacks(self._policy)

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Run *handler*, the rest of the application, with the request's context around it."""
        outer: AiohttpExchange | None = request.get(_KEY)
        if outer is not None:
            observes = self._policy.exceptions is not None and outer.policy is not self._policy
            return await (self._with_observer(handler, request) if observes else handler)(request)
        exchange = AiohttpExchange(self._policy, request)
        if self._callbacks.any and not await self._callbacks.admit(exchange):
            clear_context()
            return await handler(request)
        exchange.enter()
        request[_KEY] = exchange
        if self._policy.exceptions is not None:
            exchange.watch()
            handler = self._with_observer(handler, request)
        try:
            response = await handler(request)
            if request.method == "OPTIONS" and isinstance(
                response, web.StreamResponse
            ):  # a handler may return anything
                get = request.headers.get
                self._policy.check_preflight(get(cors.ASKED), get("origin"), response.headers.items())
            return response
        except BaseException as error:
            exchange.escape(error)
            raise
        finally:
            request.pop(_KEY, None)  # breaks the cycle of request and exchange

    def _with_observer(self, handler: Any, request: web.Request) -> Handler:
        """Return *handler* with an observer inside its last middleware.

        aiohttp composes middlewares as `partial(middleware, handler=next)`, once for each route. A
        handler that was composed in another way is observed from here, so an inner middleware may
        answer an exception unseen.

        The observed handler is kept as an attribute of the handler, so that both are collected
        together. Wrappers copy attributes of what they wrap, so the attribute may belong to another
        handler.
        """
        kept: tuple[PostHogInterceptor, Any, Handler] | None = getattr(handler, _OBSERVED, None)
        if kept is not None and kept[0] is self and kept[1] is handler:
            return kept[2]
        observed = self._rebuilt(handler)
        # With an exception here, the handler serves this request only.
        if request.match_info.http_exception is None:
            # A method, or an object with slots, refuses the attribute.
            with contextlib.suppress(AttributeError, TypeError):
                setattr(handler, _OBSERVED, (self, handler, observed))
        return observed

    def _rebuilt(self, handler: Any) -> Handler:
        layers: list[Any] = []
        while isinstance(handler, functools.partial) and set(handler.keywords) == {"handler"} and not handler.args:
            layers.append(handler.func)
            handler = handler.keywords["handler"]
            if len(layers) > _MAX_LAYERS:
                break
        rebuilt: Any = self._observer(handler)
        for layer in reversed(layers):
            rebuilt = functools.update_wrapper(functools.partial(layer, handler=rebuilt), rebuilt)
        return rebuilt  # type: ignore[no-any-return]

    def _observer(self, handler: Handler) -> Handler:
        async def observed(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except BaseException as error:
                exchange: AiohttpExchange | None = request.get(_KEY)
                if exchange is not None and not exchange.is_gone(error):
                    # Until it leaves the outermost interceptor, a middleware may answer it.
                    exchange.observe(error, handled=True, policy=self._policy)
                raise

        return functools.update_wrapper(observed, handler)
