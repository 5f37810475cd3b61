"""gRPC servers, synchronous and asyncio: a server interceptor.

    grpc.server(pool, interceptors=[PostHogInterceptor(client=posthog, capture_exceptions=True)])       # grpc.aio.server too

The ids come as metadata of the call. The interceptor itself runs on the server's own thread, so all of it happens inside the
method's behaviour, which stays synchronous or asynchronous as it was. A call ends with a code instead of a status; its HTTP
twin is what events say, and what the threshold is compared with.
Source: docs/internals/frameworks.md#grpc and docs/internals/frameworks.md#http-exceptions.
"""

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from types import TracebackType
from typing import Any, Unpack
from urllib.parse import unquote

import grpc
import grpc.aio

from hogline.context import Context, current, restore
from hogline.exchange import Exchange, RequestLine, current_exchange
from hogline.exchange.policy import Policy
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["STATUS", "GrpcExchange", "PostHogInterceptor"]

# The HTTP twin of each code, as google.rpc.Code has them, but for RESOURCE_EXHAUSTED: here that is the server's trouble.
STATUS = {
    "OK": 200, "CANCELLED": 499, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504, "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 503, "FAILED_PRECONDITION": 400, "ABORTED": 409,
    "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 501, "INTERNAL": 500, "UNAVAILABLE": 503, "DATA_LOSS": 500, "UNAUTHENTICATED": 401,
}  # fmt: skip
_BY_NUMBER = {code.value[0]: code.name for code in grpc.StatusCode}
_SHAPES = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
_Behaviour = Callable[..., Any]


class GrpcExchange(Exchange):
    """One call. What its users know as a request is the servicer's context."""

    def __init__(self, policy: Policy, method: str, context: Any) -> None:
        super().__init__(policy)
        self.method = method
        self.context = context
        self._metadata: list[tuple[str, Any]] | None = None

    def read(self) -> RequestLine:
        """Return what a call has of a request: its method as the path, and who called. There is no URL."""
        kind, _, address = str(self.context.peer() or "").partition(":")
        peer = unquote(address) if kind in ("ipv4", "ipv6") else None
        return None, "http", self.method, "", peer

    def host(self) -> str | None:
        """Return nothing, whatever the metadata says: there is no URL."""
        return None

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of the metadata key *name*; bytes may be anything and are read as latin-1."""
        if self._metadata is None:
            self._metadata = [tuple(pair) for pair in self.context.invocation_metadata() or ()]
        found = [value for key, value in self._metadata if key == name]
        return [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in found]

    def request(self) -> Any:
        """Return the servicer's context: metadata, peer, who authenticated."""
        return self.context

    def find_route(self) -> str | None:
        """Return the method, `/package.Service/Method`."""
        return self.method


class PostHogInterceptor(grpc.ServerInterceptor, grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """An interceptor for both kinds of gRPC server. Keyword options are `InterceptorSettings`'."""

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self.policy: Policy = make_policy("grpc", options)
        self._callbacks = Callbacks(self.policy)

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Return the method's handler with ours around its behaviour, as a coroutine where the server awaits one."""
        found = continuation(handler_call_details)
        if hasattr(found, "__await__"):
            return self._awaited(found, handler_call_details.method)
        return self._around(found, handler_call_details.method, waits=False)

    async def _awaited(self, found: Any, method: str) -> Any:
        return self._around(await found, method, waits=True)

    def _around(self, handler: Any, method: str, *, waits: bool) -> Any:
        if handler is None:  # no such method: UNIMPLEMENTED, and no code of the app's runs
            return None
        name, make = _SHAPES[bool(handler.request_streaming), bool(handler.response_streaming)]
        behaviour = getattr(handler, name)
        call = _Calls(self.policy, self._callbacks, method, behaviour, iterates=waits)
        if isasyncgenfunction(behaviour):
            ours: _Behaviour = call.stream_async
        elif iscoroutinefunction(behaviour):
            ours = call.unary_async
        elif waits:
            # An asyncio server runs it in a thread, with a context that does not tell its code.
            ours = call.noting(call.stream if handler.response_streaming else call.unary)
        else:
            called_back = getattr(
                behaviour, "experimental_non_blocking", False
            )  # returns nothing, and responds when it likes
            ours = partial(call.stream if handler.response_streaming and not called_back else call.unary)
            ours.__dict__.update(getattr(behaviour, "__dict__", {}))  # the server asks there how, and where, to run it
        return make(
            ours, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


class _Calls:
    """The calls of one method."""

    def __init__(
        self, policy: Policy, callbacks: Callbacks, method: str, behaviour: _Behaviour, *, iterates: bool
    ) -> None:
        self._iterates = iterates  # whether the server takes any iterable for responses, and not an iterator only
        self._policy = policy
        self._callbacks = callbacks
        self._method = method
        self._behaviour = behaviour

    def unary(self, request: Any, context: Any, *respond: Callable[[Any], None]) -> Any:
        """Answer with one message, or none, or by calling back."""
        call = self._begin(context)
        if call is None:
            return self._alone(request, context, *respond)
        try:
            answer = self._behaviour(request, context, *respond)
        except BaseException as error:
            call.end(error)
            raise
        call.end(None)
        return answer

    def stream(self, request: Any, context: Any) -> Any:
        """Answer with an iterator, each step of which runs in the call's context."""
        call = self._begin(context)
        if call is None:
            return self._alone(request, context)
        try:
            answer = self._behaviour(request, context)
        except BaseException as error:
            call.end(error)
            raise
        return _Responses(answer, call, iterates=self._iterates)

    async def unary_async(self, request: Any, context: Any) -> Any:
        """Answer with one message, or with what is written to the context."""
        call = await self._begin_async(context)
        if call is None:
            with _Nobody():
                return await self._behaviour(request, context)
        try:
            answer = await self._behaviour(request, context)
        except BaseException as error:
            call.end(error)
            raise
        call.end(None)
        return answer

    async def stream_async(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Answer with an asynchronous generator; a call is a task of its own, which keeps the context between steps."""
        call = await self._begin_async(context)
        if call is None:
            with _Nobody():
                async for answer in self._behaviour(request, context):
                    yield answer
            return
        answers = self._behaviour(request, context)
        try:
            async for answer in answers:
                yield answer
        except BaseException as error:
            try:
                await answers.aclose()
            finally:
                call.end(error)
            raise
        call.end(None)

    def noting(self, behaviour: _Behaviour) -> _Behaviour:
        """Return *behaviour* with a context that remembers the code it is told."""
        return lambda request, context: behaviour(request, _Noting(context))

    def _begin(self, context: Any) -> "_Call | None":
        exchange = GrpcExchange(self._policy, self._method, context)
        if self._policy.settings.request_filter is not None and exchange.answer("request_filter") is False:
            return None
        return _Call(exchange, self._policy, context)

    async def _begin_async(self, context: Any) -> "_Call | None":
        exchange = GrpcExchange(self._policy, self._method, context)
        if self._callbacks.any and not await self._callbacks.admit(exchange):
            return None
        return _Call(exchange, self._policy, context)

    def _alone(self, request: Any, context: Any, *respond: Callable[[Any], None]) -> Any:
        with _Nobody():
            return self._behaviour(request, context, *respond)


class _Call:
    """One call while it runs. Inside another interceptor's exchange of the same call it only observes."""

    __slots__ = ("_context", "_exchange", "_owner", "_policy", "_previous", "mine")

    def __init__(self, exchange: GrpcExchange, policy: Policy, context: Any) -> None:
        self._policy = policy
        self._context = context
        outer = current_exchange()
        self._owner = not (isinstance(outer, GrpcExchange) and _same(outer.context, context))
        self._exchange = exchange if self._owner else outer
        self._previous = current.get()
        self.mine: Context | None = self._previous
        if self._owner:
            self.mine, self._previous = exchange.enter()

    def step(self, outer: Context | None) -> None:
        """Put the call's context aside between two steps of an iterator, and write *outer* back (rule `no-token-reset`)."""
        now = current.get()
        if self._owner and self.mine is not None:
            restore(self.mine, outer)
            if now is not None and current.get() is not now:
                self.mine = now

    def end(self, error: BaseException | None) -> None:
        """Say how the call ended."""
        exchange = self._exchange
        if error is None and isinstance(self._context, _Noting):
            error, self._context.aborted = self._context.aborted, None
        if error is not None:
            self._note(error)
        if self._owner and exchange is not None:
            exchange.status = _status(self._context, "OK" if error is None else "UNKNOWN")
            exchange.close()
            if self.mine is not None:
                restore(self.mine, self._previous)

    def _note(self, error: BaseException) -> None:
        exchange, rules = self._exchange, self._policy.exceptions
        if exchange is None or rules is None:
            return
        try:
            status = _status(self._context, "UNKNOWN")
            if not _is_abort(error):
                # Out of a stream of requests whose client is gone comes this very class; an upstream's errors are subclasses.
                if type(error) is not grpc.RpcError:
                    exchange.observe(error, handled=not self._owner, status=status, policy=self._policy)
            elif status >= rules.min_status_to_capture:
                with _Told(error, self._context):
                    exchange.observe(error, handled=True, status=status, policy=self._policy)
        except Exception as failure:
            self._policy.lose_exception(failure)


class _Responses:
    """An iterator of responses: what a step leaves behind on its thread is put aside until the next one."""

    def __init__(self, answers: Any, call: _Call, *, iterates: bool) -> None:
        self._answers = answers  # what the method returned; if that is no iterator, the first step says so
        self._steps: Any = None
        self._iterates = iterates
        self._call = call
        self._ended = False
        call.step(call._previous)  # noqa: SLF001 - the thread as it was before the call

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        outer = current.get()
        current.set(self._call.mine)
        try:
            if self._steps is None:
                self._steps = iter(self._answers) if self._iterates else self._answers
            return next(self._steps)
        except StopIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise
        finally:
            self._call.step(outer)

    def __del__(self) -> None:
        # The server drops an iterator whose client has left; its end belongs to the call, whatever runs here now.
        close = getattr(self._answers, "close", None)
        if self._ended or close is None:
            return
        outer = current.get()
        current.set(self._call.mine)
        try:
            close()
        finally:
            current.set(outer)

    def _end(self, error: BaseException | None) -> None:
        self._ended = True
        self._call.end(error)


class _Noting:
    """A servicer's context that remembers the code it was told; everything else is the real one's."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._code: Any = None
        self.aborted: BaseException | None = None
        """What an abort should have raised and, in old versions of gRPC, did not: there the method goes on for nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def code(self) -> Any:
        """Return the code as far as said."""
        return self._code

    def set_code(self, code: Any) -> None:
        """Set the call's code."""
        self._code = code
        self._context.set_code(code)

    def abort(self, code: Any, *args: Any, **kwargs: Any) -> Any:
        """End the call with *code*."""
        self._code = code
        answer = self._context.abort(code, *args, **kwargs)
        frame = sys._getframe(1)  # noqa: SLF001 - the line that aborted, as a traceback would have it
        trace = TracebackType(None, frame, frame.f_lasti, frame.f_lineno)
        self.aborted = grpc.aio.AbortError("Locally aborted.").with_traceback(trace)
        return answer


class _Nobody:
    """A call that the filter left out: nobody acts in it."""

    def __enter__(self) -> None:
        self._previous = current.get()
        current.set(None)

    def __exit__(self, *_: object) -> None:
        if current.get() is None:
            current.set(self._previous)


class _Told:
    """While inside, an abort says with which code and details; gRPC raises it without a word."""

    def __init__(self, error: BaseException, context: Any) -> None:
        self._error = error
        self._said = error.args
        details = getattr(context, "details", lambda: None)()
        text = details.decode("utf-8", "replace") if isinstance(details, bytes) else details
        self._text = ": ".join(part for part in (_code_name(context, "UNKNOWN"), text) if part)

    def __enter__(self) -> None:
        self._error.args = (self._text,)

    def __exit__(self, *_: object) -> None:
        self._error.args = self._said


def _same(one: Any, other: Any) -> bool:
    def inner(context: Any) -> Any:
        while isinstance(context, _Noting):
            context = context._context  # noqa: SLF001 - our own
        return context

    return inner(one) is inner(other)


def _is_abort(error: BaseException) -> bool:
    """Tell whether *error* is what `context.abort` raises: a class of its own in asyncio, a bare `Exception` elsewhere."""
    if isinstance(error, grpc.aio.AbortError):
        return True
    trace = error.__traceback__
    if type(error) is not Exception or trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_globals.get("__name__") == "grpc._server"


def _code_name(context: Any, default: str) -> str:
    code = getattr(context, "code", lambda: None)()
    if code is None:
        return default
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    name = _BY_NUMBER.get(number, "UNKNOWN")
    return default if name == "OK" else name


def _status(context: Any, default: str) -> int:
    """Return the HTTP twin of the call's code, or of *default* where nothing was said."""
    return STATUS[_code_name(context, default)]
