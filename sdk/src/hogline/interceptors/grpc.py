"""gRPC servers, synchronous and asyncio: a server interceptor.

    interceptor = PostHogInterceptor(client=posthog, capture_exceptions=True)
    grpc.server(pool, interceptors=[interceptor])       # or grpc.aio.server

The ids come as metadata of the call. gRPC runs interceptors on the server's own thread, so
everything happens inside the method's behaviour, which stays synchronous or asynchronous. A call
ends with a code; events and the threshold use the corresponding HTTP status.
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

from hogline.context import Context, StepContext, current, restore, without_context
from hogline.exchange import Exchange, Policy, RequestLine, current_exchange
from hogline.guard import guard
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["STATUS", "GrpcExchange", "PostHogInterceptor"]

# The HTTP status of each code as in google.rpc.Code, except RESOURCE_EXHAUSTED, which here is the
# server's error.
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
    """One call. Its request, for callbacks, is the servicer's context."""

    def __init__(self, policy: Policy, method: str, context: Any) -> None:
        super().__init__(policy)
        self.method = method
        self.context = context
        # Read at once: an asyncio server frees the call when the client cancels it, and asking for
        # its peer then ends the process (docs/internals/frameworks.md#grpc).
        self._peer = ""
        with guard("peer", policy.complain):
            self._peer = str(context.peer() or "")
        self._metadata: list[tuple[str, Any]] | None = None

    def read(self) -> RequestLine:
        """Return the call's method as the path, and the peer. A call has no URL."""
        kind, _, address = self._peer.partition(":")
        peer = unquote(address) if kind in ("ipv4", "ipv6") else None
        return None, "http", self.method, "", peer

    def host(self) -> str | None:
        """Return None, whatever the metadata says: a call has no URL."""
        return None

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of the metadata key *name*; bytes are decoded as latin-1."""
        if self._metadata is None:
            self._metadata = [tuple(pair) for pair in self.context.invocation_metadata() or ()]
        found = [value for key, value in self._metadata if key == name]
        return [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in found]

    def request(self) -> Any:
        """Return the servicer's context, which has metadata, peer and authentication."""
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
        """Return the method's handler with the behaviour wrapped.

        Where the server awaits a handler, this returns a coroutine.
        """
        found = continuation(handler_call_details)
        if hasattr(found, "__await__"):
            return self._awaited(found, handler_call_details.method)
        return self._around(found, handler_call_details.method, waits=False)

    async def _awaited(self, found: Any, method: str) -> Any:
        return self._around(await found, method, waits=True)

    def _around(self, handler: Any, method: str, *, waits: bool) -> Any:
        if handler is None:  # no such method: gRPC answers UNIMPLEMENTED without running the app
            return None
        name, make = _SHAPES[bool(handler.request_streaming), bool(handler.response_streaming)]
        behaviour = getattr(handler, name)
        call = _Calls(self.policy, self._callbacks, method, behaviour, iterates=waits)
        if isasyncgenfunction(behaviour):
            ours: _Behaviour = call.stream_async
        elif iscoroutinefunction(behaviour):
            ours = call.unary_async
        elif waits:
            # An asyncio server runs it in a thread, with a context that does not return its code.
            ours = call.recording(call.stream if handler.response_streaming else call.unary)
        else:
            # Such a behaviour returns nothing, and responds by a callback.
            called_back = getattr(behaviour, "experimental_non_blocking", False)
            ours = partial(call.stream if handler.response_streaming and not called_back else call.unary)
            # The server reads in these attributes how to run it.
            ours.__dict__.update(getattr(behaviour, "__dict__", {}))
        return make(
            ours, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


class _Calls:
    """The calls of one method."""

    def __init__(
        self, policy: Policy, callbacks: Callbacks, method: str, behaviour: _Behaviour, *, iterates: bool
    ) -> None:
        # Whether the server accepts any iterable of responses, not only iterators.
        self._iterates = iterates
        self._policy = policy
        self._callbacks = callbacks
        self._method = method
        self._behaviour = behaviour

    def unary(self, request: Any, context: Any, *respond: Callable[[Any], None]) -> Any:
        """Answer with one message, with none, or by a callback."""
        call = self._begin(context)
        if call is None:
            return self._run_left_out(request, context, *respond)
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
            return self._run_left_out(request, context)
        try:
            answer = self._behaviour(request, context)
        except BaseException as error:
            call.end(error)
            raise
        return _Responses(answer, call, iterates=self._iterates)

    async def unary_async(self, request: Any, context: Any) -> Any:
        """Answer with one message, or with messages written to the context."""
        call = await self._begin_async(context)
        if call is None:
            with without_context():
                return await self._behaviour(request, context)
        try:
            answer = await self._behaviour(request, context)
        except BaseException as error:
            call.end(error)
            raise
        call.end(None)
        return answer

    async def stream_async(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Answer with an asynchronous generator.

        A call is a task of its own, which keeps the context between steps.
        """
        call = await self._begin_async(context)
        if call is None:
            with without_context():
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

    def recording(self, behaviour: _Behaviour) -> _Behaviour:
        """Return *behaviour* with a context that remembers the code that is set."""
        return lambda request, context: behaviour(request, _RecordingContext(context))

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

    def _run_left_out(self, request: Any, context: Any, *respond: Callable[[Any], None]) -> Any:
        with without_context():
            return self._behaviour(request, context, *respond)


class _Call:
    """One running call. Inside another interceptor's exchange of the same call it only observes."""

    __slots__ = ("_context", "_exchange", "_may_be_handled", "_mine", "_owner", "_policy", "_previous")

    def __init__(self, exchange: GrpcExchange, policy: Policy, context: Any) -> None:
        self._policy = policy
        self._context = context
        outer = current_exchange()
        self._owner = not (isinstance(outer, GrpcExchange) and _same(outer.context, context))
        self._exchange = exchange if self._owner else outer
        self._may_be_handled = not self._owner and outer is not None and outer.is_observed_outside(policy)
        self._previous = current.get()
        self._mine: Context | None = self._previous
        if self._owner:
            self._mine, self._previous = exchange.enter()

    def suspend(self) -> StepContext:
        """Restore the thread's context; return the call's own for the steps that follow."""
        mine, self._mine = self._mine, None
        if not self._owner or mine is None:
            return StepContext(None, None)
        context = current.get()
        restore(mine, self._previous)
        return StepContext(mine, mine if context is None or current.get() is context else context)

    def end(self, error: BaseException | None) -> None:
        """End the call; *error* is the exception that it raised, if any."""
        exchange = self._exchange
        if error is None and isinstance(self._context, _RecordingContext):
            error, self._context.aborted = self._context.aborted, None
        if error is not None:
            self._observe(error)
        if self._owner and exchange is not None:
            exchange.status = _status(self._context, "OK" if error is None else "UNKNOWN")
            exchange.close()
            if self._mine is not None:
                restore(self._mine, self._previous)

    def _observe(self, error: BaseException) -> None:
        exchange, rules = self._exchange, self._policy.exceptions
        if exchange is None or rules is None:
            return
        with guard("exception capture", self._policy.lose_exception):
            status = _status(self._context, "UNKNOWN")
            if not _is_abort(error):
                # A stream of requests raises exactly this class when its client is gone; upstream
                # errors are subclasses.
                if type(error) is not grpc.RpcError:
                    exchange.observe(error, handled=self._may_be_handled, status=status, policy=self._policy)
            elif status >= rules.min_status_to_capture:
                with _AbortText(error, self._context):
                    exchange.observe(error, handled=True, status=status, policy=self._policy)


class _Responses:
    """An iterator of responses, each step of which runs in the call's context."""

    def __init__(self, answers: Any, call: _Call, *, iterates: bool) -> None:
        # The method's result. If that is no iterator, the first step raises.
        self._answers = answers
        self._steps: Any = None
        self._iterates = iterates
        self._call = call
        self._ended = False
        self._step = call.suspend()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._step:
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

    def __del__(self) -> None:
        # The server drops an iterator whose client has left; its end belongs to the call, whatever
        # runs here now.
        close = getattr(self._answers, "close", None)
        if not self._ended and close is not None:
            with self._step:
                close()

    def _end(self, error: BaseException | None) -> None:
        self._ended = True
        self._call.end(error)


class _RecordingContext:
    """A servicer's context that remembers the code that was set, and passes everything else on."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._code: Any = None
        self.aborted: BaseException | None = None
        """The exception that an abort should raise.

        In old versions of gRPC an abort raises nothing, and the method goes on.
        """

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def code(self) -> Any:
        """Return the code that was set, or None."""
        return self._code

    def set_code(self, code: Any) -> None:
        """Set the call's code."""
        self._code = code
        self._context.set_code(code)

    def abort(self, code: Any, *args: Any, **kwargs: Any) -> Any:
        """End the call with *code*."""
        self._code = code
        answer = self._context.abort(code, *args, **kwargs)
        frame = sys._getframe(1)  # noqa: SLF001 - the caller's frame, as in a traceback
        trace = TracebackType(None, frame, frame.f_lasti, frame.f_lineno)
        self.aborted = grpc.aio.AbortError("Locally aborted.").with_traceback(trace)
        return answer


class _AbortText:
    """A `with` block in which an abort's text is its code and details.

    gRPC raises it without any text.
    """

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
        while isinstance(context, _RecordingContext):
            context = context._context  # noqa: SLF001 - our own
        return context

    return inner(one) is inner(other)


def _is_abort(error: BaseException) -> bool:
    """Return whether `context.abort` raised *error*.

    It raises its own class in asyncio, and a bare `Exception` elsewhere.
    """
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
    """Return the HTTP status of the call's code, or of *default* where none was set."""
    return STATUS[_code_name(context, default)]
