"""Serverless functions: one invocation is one exchange, and its events are sent before it returns.

A platform freezes or ends the process between invocations, so a thread cannot send later. The flush
is therefore a part of the invocation, bounded in time. Each platform's file reads the platform's
event and the function's result.
"""

import functools
from collections.abc import Awaitable, Callable, Sequence
from inspect import iscoroutinefunction
from typing import Any, TypeVar, Unpack

from hogline.context import current, restore, without_context
from hogline.exchange import Exchange, current_exchange
from hogline.exchange.policy import FLUSH_S, Policy
from hogline.guard import guard
from hogline.interceptors.common import streamed
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["Functions", "Invocation"]

_F = TypeVar("_F", bound=Callable[..., Any])


class Invocation(Exchange):
    """One call of a function.

    *event* is its first argument, *context* the second, where the platform has one.
    """

    def __init__(self, policy: Policy, event: Any, context: Any = None) -> None:
        super().__init__(policy)
        self.event = event
        self.context = context

    @property
    def is_http(self) -> bool:
        """Whether an HTTP request caused the invocation, not a queue, a bucket or the clock."""
        return False

    def headers(self, name: str) -> Sequence[str]:  # noqa: ARG002 - for platforms to override
        """Return the values of header *name*."""
        return ()

    def request(self) -> Any:
        """Return the event that the platform passed to the function."""
        return self.event

    def answered(self, result: Any) -> int | None:  # noqa: ARG002 - for platforms to override
        """Return the HTTP status of the function's *result*; None where there is no client."""
        return 200 if self.is_http else None

    def failed(self, error: BaseException) -> int:  # noqa: ARG002 - for platforms to override
        """Return the status that the platform answers with when the function raised *error*."""
        return 500

    def answers(self, error: BaseException) -> bool:  # noqa: ARG002 - for platforms to override
        """Return whether the platform turns *error* into a response.

        Most platforms know no HTTP exceptions.
        """
        return False

    def rest_s(self) -> float:
        """Return how many seconds the invocation has left."""
        return FLUSH_S

    def _add_request(self, facts: dict[str, Any]) -> None:
        if self.is_http:
            super()._add_request(facts)


class Functions:
    """A decorator for functions. Keyword options are `InterceptorSettings`'."""

    source = "serverless"
    invocation_class: Callable[..., Exchange] = Invocation

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self.policy: Policy = make_policy(self.source, options)
        self._callbacks = Callbacks(self.policy)

    def __call__(self, function: _F) -> _F:
        """Return *function* with an exchange around each call; a coroutine function stays one."""
        if iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: Any, **kwargs: Any) -> Any:
                call = self._begin(args, kwargs)
                if call.owns and self._callbacks.any and not await self._callbacks.admit(call.exchange):
                    return await call.run_left_out_async(function(*args, **kwargs))
                call.enter()
                try:
                    result = await function(*args, **kwargs)
                except BaseException as error:
                    call.raised(error)
                    await call.end_async()
                    raise
                result = call.returned(result)
                if not call.goes_on:
                    await call.end_async()
                return result

            return asynchronous  # type: ignore[return-value]

        @functools.wraps(function)
        def synchronous(*args: Any, **kwargs: Any) -> Any:
            call = self._begin(args, kwargs)
            if call.owns and self._callbacks.any and not self._callbacks.admit_sync(call.exchange):
                return call.run_left_out(functools.partial(function, *args, **kwargs))
            call.enter()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                call.raised(error)
                call.end()
                raise
            result = call.returned(result)
            if not call.goes_on:
                call.end()
            return result

        return synchronous  # type: ignore[return-value]

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "_Call":
        with guard("request", self.policy.complain):  # reading an untrusted object may run any code
            event, context = self.find_event(args, kwargs)
            outer = self.find_outer(event)
            exchange = self.invocation_class(self.policy, event, context) if outer is None else outer
            return _Call(exchange, self.policy, owns=outer is None)
        return _Call(Invocation(self.policy, None), self.policy, owns=True)

    def find_event(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Return the event and the context among a call's arguments; None if missing."""
        event, context, *_ = (*args, *kwargs.values(), None, None)
        return event, context

    def find_outer(self, event: Any) -> Exchange | None:
        """Return the exchange of an outer interceptor for the same event, or None."""
        outer = current_exchange()
        return outer if isinstance(outer, Invocation) and outer.event is event else None


class _Call:
    """One running call. Inside another interceptor's exchange it only observes exceptions."""

    __slots__ = ("_may_be_handled", "_mine", "_policy", "_previous", "exchange", "goes_on", "owns")

    def __init__(self, exchange: Exchange, policy: Policy, *, owns: bool) -> None:
        self.exchange = exchange
        self.owns = owns
        self.goes_on = False  # whether a body that remains to be read will end it
        self._policy = policy
        self._may_be_handled = not owns and exchange.is_observed_outside(policy)
        self._mine = self._previous = current.get()

    def enter(self) -> None:
        if self.owns:
            self._mine, self._previous = self.exchange.enter()

    def returned(self, result: Any) -> Any:
        """Record the status; return *result*, whose body ends the call if it remains to be made."""
        exchange = self.exchange
        with guard("response", self._policy.complain):
            if self.owns and isinstance(exchange, Invocation):
                exchange.status = exchange.answered(result)
                if not exchange.is_http:
                    return result
            if streamed.lasts(result):
                result = streamed.hold(result, self._hold())
                self.goes_on = True  # last: a result that cannot be held ends the call at once
        return result

    def _hold(self) -> streamed.Held:
        """Suspend the call until its body is read.

        That may be never, so exceptions are judged now.
        """
        at_return = current.get()
        self._close()
        if not self.owns:
            return streamed.Held(self, None, None)
        # A context that `restore` left in place was not ours; then the body starts with the call's
        # first one.
        context = self._mine if at_return is None or at_return is current.get() else at_return
        return streamed.Held(self, self._mine, context)

    def raised(self, error: BaseException) -> None:
        exchange = self.exchange
        invocation = exchange if isinstance(exchange, Invocation) else None
        status = invocation.failed(error) if invocation is not None else None
        answered = invocation is not None and invocation.answers(error)
        exchange.observe(error, handled=self._may_be_handled or answered, status=status, policy=self._policy)

    def end(self) -> None:
        self._close()
        self._policy.flush(self._rest_s())

    async def end_async(self) -> None:
        self._close()
        await self._policy.aflush(self._rest_s())

    def broken(self, error: BaseException) -> None:
        """Record an exception that a step of the body raised.

        An outer interceptor sees it anyway.
        """
        if self.owns:
            self.exchange.observe(error, handled=False, policy=self._policy)

    def run_left_out(self, function: Callable[[], Any]) -> Any:
        """Run a call that the filter left out.

        It has no context, but its events are flushed.
        """
        try:
            with without_context():
                return function()
        finally:
            self._policy.flush(self._rest_s())

    async def run_left_out_async(self, running: Awaitable[Any]) -> Any:
        """`run_left_out()` for a coroutine."""
        try:
            with without_context():
                return await running
        finally:
            await self._policy.aflush(self._rest_s())

    def _close(self) -> None:
        if self.owns:
            self.exchange.end()
            if self._mine is not None:
                restore(self._mine, self._previous)

    def _rest_s(self) -> float:
        if isinstance(self.exchange, Invocation):
            with guard("flush", self._policy.complain):
                return max(0.0, min(FLUSH_S, self.exchange.rest_s()))
        return FLUSH_S
