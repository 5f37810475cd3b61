"""Robyn: hooks before and after each request, and observers around handlers that are added later.

    PostHogInterceptor(app, client=posthog, capture_exceptions=True)      # before the routes

Robyn runs a request's hooks and its handler in one context of the request's own; a synchronous
handler runs in a thread. Streamed bodies run outside that context, so each of their steps restores
it.
Source: docs/internals/frameworks.md#robyn.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Self, Unpack
from urllib.parse import unquote

from robyn import Request, Robyn, StreamingResponse, SubRouter
from robyn.events import Events

from hogline.context import Context, StepContext, clear_context, current
from hogline.exchange import Exchange, Policy, RequestLine, current_exchange
from hogline.facts.url import visited_scheme
from hogline.guard import guard
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor", "RobynExchange"]

_log = logging.getLogger("hogline")


class RobynExchange(Exchange):
    """An exchange whose request is Robyn's."""

    context: Context

    def __init__(self, policy: Policy, request: Request) -> None:
        super().__init__(policy)
        self._request = request

    def read(self) -> RequestLine:
        """Return the request line.

        Robyn does not give the server's address, and splits the query without decoding it.
        """
        request = self._request
        upgrade = self.headers("upgrade")
        query = "&".join(
            f"{name}={value}" for name, values in request.query_params.to_dict().items() for value in values
        )
        return (
            request.method,
            visited_scheme(request.url.scheme, upgrade[0] if upgrade else None),
            unquote(request.url.path, errors="replace"),
            query,
            request.ip_addr,
        )

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*."""
        found: Any = self._request.headers  # Robyn's type stubs lack a method
        return list(found.get_headers().get(name, ()))  # names are in lower case

    def request(self) -> Any:
        """Return the `robyn.Request`."""
        return self._request


class PostHogInterceptor:
    """An extension for Robyn apps, to be made before their routes.

    Keyword options are `InterceptorSettings`'.
    """

    def __init__(self, app: Robyn, **options: Unpack[InterceptorOptions]) -> None:
        self._policy = make_policy("robyn", options)
        self._callbacks = Callbacks(self._policy)
        app.before_request()(self._begin)
        app.after_request()(self._end)
        self._flush_at_end(app)
        self.watch(app)

    def watch(self, router: Robyn | SubRouter) -> None:
        """Observe the handlers that are added to *router* from now on.

        Sub-routers keep their own routes. A patch: Robyn passes an exception only to the handler of
        `@app.exception`, and only if there was one when the route was added.
        """
        routes: Any = router.router
        if routes.routes:
            _log.warning(
                "hogline: %d routes were added before the interceptor and are not observed", len(routes.routes)
            )
        add_route = routes.add_route

        @functools.wraps(add_route)
        def add_observed(*args: Any, **kwargs: Any) -> Any:
            if "handler" in kwargs:
                answered = kwargs.get("exception_handler") is not None
                kwargs["handler"] = self._observed(kwargs["handler"], kwargs.get("endpoint"), answered=answered)
            return add_route(*args, **kwargs)

        routes.add_route = add_observed

    def _flush_at_end(self, app: Robyn) -> None:
        """Flush when the server stops (rule `flush-at-lifespan`).

        Robyn's processes skip Python's exit handlers. A patch: there is one shutdown handler, and
        an app that sets it later would replace ours (rule `chain-single-slots`).
        """
        register = app.shutdown_handler

        def shutdown_handler(handler: Callable[..., Any]) -> None:
            register(self._then_flush(handler))

        there = app.event_handlers.get(Events.SHUTDOWN)
        register(self._then_flush(there.handler if there is not None else None))
        app.shutdown_handler = shutdown_handler  # type: ignore[method-assign]

    def _then_flush(self, handler: Callable[..., Any] | None) -> Callable[..., Any]:
        async def ending() -> None:
            try:
                answer = handler() if handler is not None else None
                if isawaitable(answer):
                    await answer
            finally:
                await self._policy.aflush()

        return ending

    async def _begin(self, request: Request) -> Request:
        """Begin the request's context, which inherits nothing."""
        with guard("request", self._policy.complain):
            exchange = RobynExchange(self._policy, request)
            if self._callbacks.any and not await self._callbacks.admit(exchange):
                clear_context()
            else:
                exchange.context = exchange.enter()[0]
        return request

    def _end(self, response: Any) -> Any:
        """Judge the observed exceptions, now that the status is known."""
        exchange = current_exchange()
        if exchange is not None:
            exchange.status = getattr(response, "status_code", None)
            exchange.close()
        return response

    def _observed(self, handler: Callable[..., Any], endpoint: str | None, *, answered: bool) -> Callable[..., Any]:
        """Return *handler* with an observer and the same signature, which Robyn inspects."""

        def observe(error: BaseException) -> None:
            exchange = current_exchange()
            if exchange is not None:
                exchange.observe(error, handled=answered, policy=self._policy)

        def add_route() -> None:
            exchange = current_exchange()
            if exchange is not None:
                exchange.annotate(route=endpoint)

        @functools.wraps(handler)
        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            add_route()
            try:
                return _streamed(await handler(*args, **kwargs))
            except BaseException as error:
                observe(error)
                raise

        @functools.wraps(handler)
        def synchronous(*args: Any, **kwargs: Any) -> Any:
            add_route()
            try:
                return _streamed(handler(*args, **kwargs))
            except BaseException as error:
                observe(error)
                raise

        return asynchronous if iscoroutinefunction(handler) else synchronous


def _streamed(response: Any) -> Any:
    """Return *response*; a streamed body is made in the request's context."""
    exchange = current_exchange()
    if isinstance(response, StreamingResponse) and isinstance(exchange, RobynExchange):
        content: Any = response.content
        response.content = _Body(content, exchange, response.status_code)  # type: ignore[assignment]
    return response


class _Body:
    """A streamed body, each step of which runs in the request's context."""

    __slots__ = ("_content", "_exchange", "_step", "_steps")

    def __init__(self, content: Any, exchange: RobynExchange, status: int) -> None:
        exchange.status = status
        self._content = content
        self._steps: Iterator[Any] = iter(content)
        self._exchange = exchange
        self._step = StepContext(exchange.context, current.get() or exchange.context)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        with self._step:
            try:
                return next(self._steps)
            except StopIteration:
                raise
            except BaseException as error:
                self._exchange.observe(error, handled=False)
                self._exchange.close()
                raise

    def __del__(self) -> None:
        # Robyn drops a body whose client has left; its end belongs to the request, whatever runs
        # here now.
        close = getattr(self._content, "close", None)
        if close is not None:
            with self._step:
                close()
