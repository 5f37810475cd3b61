"""aiohttp.web: one middleware, the first of the list; what is raised is seen inside of all others.

    app = web.Application(middlewares=[PostHogInterceptor(client=posthog, capture_exceptions=True), ...])

Each request is a task of its own, so the context is not taken back when the handler returns: a body that is made while it
is sent, and what runs until the task ends, still belong to the visitor.
Source: docs/internals/frameworks.md#aiohttp.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, Unpack

from aiohttp import web

from hogline.context import current
from hogline.exception_kinds import is_within
from hogline.exchange import Exchange, RequestLine
from hogline.exchange.policy import Policy
from hogline.facts import cors
from hogline.facts.tracing import as_latin1
from hogline.facts.url import joined_address, visited_scheme
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["AiohttpExchange", "PostHogInterceptor"]

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Names of an application's own would do, but aiohttp warns of them since it has keys (3.14).
_KEY: Any = web.RequestKey("hogline.exchange", object) if hasattr(web, "RequestKey") else "hogline.exchange"
_CLOSING = "Cannot write to closing transport"  # what aiohttp before 3.10.6 says, in a class that is not its own
_MAX_LAYERS = 200
_WATCHED = "_hogline_watched"  # on a handler: (the interceptor, the handler, that handler as it is watched)


class AiohttpExchange(Exchange):
    """An exchange whose request is aiohttp's."""

    _escaped: BaseException | None = None  # what left us for aiohttp to answer
    _expected: int | None = None  # the status that aiohttp answers it with

    def __init__(self, policy: Policy, request: web.Request) -> None:
        super().__init__(policy)
        self._request = request

    def read(self) -> RequestLine:
        """Return the facts. `request.url` and `.host` are not asked: a bad Host header makes them raise."""
        request = self._request
        return (
            request.method,
            visited_scheme(request.scheme, request.headers.get("Upgrade")),
            request.path,
            request.raw_path.partition("?")[2],  # as the browser wrote it
            request.remote,
        )

    def server(self) -> str | None:
        """Return the socket's own address."""
        transport = self._request.transport
        return joined_address(transport.get_extra_info("sockname")) if transport is not None else None

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*, as latin-1: aiohttp decodes UTF-8, and keeps other bytes as surrogates."""
        return [as_latin1(value) for value in self._request.headers.getall(name, ())]

    def request(self) -> Any:
        """Return the `web.Request`."""
        return self._request

    def find_route(self) -> str | None:
        """Return the matched resource's template, a sub-application's prefix included; None for a 404."""
        resource = self._request.match_info.route.resource
        return resource.canonical if resource is not None else None

    def is_gone(self, error: BaseException) -> bool:
        """Tell whether *error* says that this request's own client left; the same class comes from aiohttp's client."""
        if not isinstance(error, ConnectionResetError):
            return False
        if type(error).__module__ == "builtins" and str(error) != _CLOSING:
            return False
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def escape(self, error: BaseException) -> None:
        """Note what leaves us, for aiohttp to answer."""
        self._escaped = error
        if self.is_gone(error):
            return
        if isinstance(error, web.HTTPException):
            self.observe(error, handled=True, status=error.status)
            return
        expected = 504 if isinstance(error, asyncio.TimeoutError) else 500
        if self.status is None:  # else the response has begun, and nobody can answer any more
            self._expected = expected
        self.observe(error, handled=False, status=expected)

    def watch(self) -> None:
        """See the status that leaves, and the end of the request's task.

        A patch, of this request's writer alone: the signal `on_response_prepare` can't be joined from a middleware (it is
        frozen by then), and is not sent for aiohttp's own answer to an error.
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
        """Note what a body raised while it was sent, which aiohttp only logs; then all is known."""
        error = None if task.cancelled() else task.exception()
        # aiohttp's own complaint, that it cannot answer an error any more, was raised while it handled that error.
        known = self._escaped is not None and error is not None and is_within(self._escaped, error)
        if error is not None and not known and not self.is_gone(error):
            self.observe(error, handled=False)
        if self._escaped is not None and self._expected not in (None, self.status):
            self.observe(self._escaped, handled=True)  # a middleware around us answered it
        self.close()
        vars(self._request.writer).pop("write_headers", None)  # or writer and exchange would hold each other


class PostHogInterceptor:
    """Middleware for aiohttp's applications and sub-applications. Keyword options are `InterceptorSettings`'."""

    __middleware_version__ = 1  # what `@web.middleware` puts on a function

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self._policy = make_policy("aiohttp", options)
        self._callbacks = Callbacks(self._policy)

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Run *handler*, the rest of the application, with the request's context around it."""
        outer: AiohttpExchange | None = request.get(_KEY)
        watches = self._policy.exceptions is not None
        if outer is not None:
            inside = watches and outer.policy is not self._policy  # else it is watched already
            return await (self._inside(handler, request) if inside else handler)(request)
        exchange = AiohttpExchange(self._policy, request)
        if self._callbacks.any and not await self._callbacks.admit(exchange):
            current.set(None)
            return await handler(request)
        exchange.enter()
        request[_KEY] = exchange
        if watches:
            exchange.watch()
            handler = self._inside(handler, request)
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
            request.pop(_KEY, None)  # or the two would hold each other

    def _inside(self, handler: Any, request: web.Request) -> Handler:
        """Return *handler* with an observer between its last middleware and what that calls.

        aiohttp composes middlewares as `partial(middleware, handler=next)`, once for each route. What is composed in
        another way is watched from where we stand: then middleware inside of us may answer an exception unseen.

        What was made of a handler is kept on it, where the two are collected together. A handler's attributes are copied
        to what is put around it, so what is found may be another's.
        """
        kept: tuple[PostHogInterceptor, Any, Handler] | None = getattr(handler, _WATCHED, None)
        if kept is not None and kept[0] is self and kept[1] is handler:
            return kept[2]
        watched = self._rebuilt(handler)
        if request.match_info.http_exception is None:  # else the handler is this request's alone
            with contextlib.suppress(AttributeError, TypeError):  # a method, or an object with slots
                setattr(handler, _WATCHED, (self, handler, watched))
        return watched

    def _rebuilt(self, handler: Any) -> Handler:
        layers: list[Any] = []
        while isinstance(handler, functools.partial) and set(handler.keywords) == {"handler"} and not handler.args:
            layers.append(handler.func)
            handler = handler.keywords["handler"]
            if len(layers) > _MAX_LAYERS:
                break
        watched: Any = self._observing(handler)
        for layer in reversed(layers):
            watched = functools.update_wrapper(functools.partial(layer, handler=watched), watched)
        return watched  # type: ignore[no-any-return]

    def _observing(self, handler: Handler) -> Handler:
        async def observed(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except BaseException as error:
                exchange: AiohttpExchange | None = request.get(_KEY)
                if exchange is not None and not exchange.is_gone(error):
                    # Until it leaves the outermost interceptor, somebody may answer it.
                    exchange.observe(error, handled=True, policy=self._policy)
                raise

        return functools.update_wrapper(observed, handler)
