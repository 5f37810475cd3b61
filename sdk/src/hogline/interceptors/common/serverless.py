"""Functions that a platform calls: one invocation is one exchange, and what it captured is sent before it returns.

A platform freezes the process between invocations, or ends it: a thread that sends later does not run then. So the flush is a
part of the invocation, bounded in time. Platforms' files say how their event is read and what became of it.
"""

import functools
from collections.abc import Callable, Sequence
from inspect import iscoroutinefunction
from typing import Any, TypeVar, Unpack

from hogline.context import current, restore
from hogline.exchange import Exchange, current_exchange
from hogline.exchange.policy import Policy
from hogline.interceptors.common import streamed
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["FLUSH_S", "Functions", "Invocation"]

FLUSH_S = 5.0  # at most; what is left then waits for the next invocation, if there is one
_F = TypeVar("_F", bound=Callable[..., Any])


class Invocation(Exchange):
    """One call of a function. *event* is its first argument, *context* the second, where the platform has one."""

    def __init__(self, policy: Policy, event: Any, context: Any = None) -> None:
        super().__init__(policy)
        self.event = event
        self.context = context

    @property
    def is_http(self) -> bool:
        """Tell whether a request caused it, and not a queue, a bucket or the clock; platforms know."""
        return False

    def headers(self, name: str) -> Sequence[str]:  # noqa: ARG002 - platforms know better
        """Return the values of header *name*."""
        return ()

    def request(self) -> Any:
        """Return the event, as the platform hands it to the function."""
        return self.event

    def answered(self, result: Any) -> int | None:  # noqa: ARG002 - platforms know better
        """Return the status that *result*, which the function returned, stands for; None where there is no client."""
        return 200 if self.is_http else None

    def failed(self, error: BaseException) -> int:  # noqa: ARG002 - platforms know better
        """Return the status with which the platform answers for a function that raised."""
        return 500

    def answers(self, error: BaseException) -> bool:  # noqa: ARG002 - platforms know better
        """Tell whether the platform has an answer of its own for *error*; most know no HTTP exceptions."""
        return False

    def rest_s(self) -> float:
        """Return for how many seconds the invocation may go on."""
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
        """Return *function* with an exchange around each of its calls; one that is asynchronous stays so."""
        if iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: Any, **kwargs: Any) -> Any:
                call = self._begin(args, kwargs)
                if call.owns and self._callbacks.any and not await self._callbacks.admit(call.exchange):
                    return await call.alone_async(function(*args, **kwargs))
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
            filters = self.policy.settings.request_filter is not None
            if call.owns and filters and call.exchange.answer("request_filter") is False:
                return call.alone(functools.partial(function, *args, **kwargs))
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
        try:
            event, context = self.find_event(args, kwargs)
            outer = self.find_outer(event)
            exchange = self.invocation_class(self.policy, event, context) if outer is None else outer
        except Exception as error:  # a stranger's object may do anything when it is asked what it is
            self.policy.complain("request", error)
            outer, exchange = None, Invocation(self.policy, None)
        return _Call(exchange, self.policy, owns=outer is None)

    def find_event(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Return the event among what a function is called with, and its context; None for what there is not."""
        event, context, *_ = (*args, *kwargs.values(), None, None)
        return event, context

    def find_outer(self, event: Any) -> Exchange | None:
        """Return the exchange of an interceptor around us, if there is one of the same event."""
        outer = current_exchange()
        return outer if isinstance(outer, Invocation) and outer.event is event else None


class _Call:
    """One call while it runs; inside another interceptor's exchange it only observes."""

    __slots__ = ("_mine", "_policy", "_previous", "exchange", "goes_on", "owns")

    def __init__(self, exchange: Exchange, policy: Policy, *, owns: bool) -> None:
        self.exchange = exchange
        self.owns = owns
        self.goes_on = False  # a body that is still to be read ends it
        self._policy = policy
        self._mine = self._previous = current.get()

    def enter(self) -> None:
        if self.owns:
            self._mine, self._previous = self.exchange.enter()

    def returned(self, result: Any) -> Any:
        """Note how the function ended; returns its *result*, the body of which ends the call if it is yet to be made."""
        exchange = self.exchange
        try:
            if self.owns and isinstance(exchange, Invocation):
                exchange.status = exchange.answered(result)
                if not exchange.is_http:
                    return result
            if streamed.lasts(result):
                result = streamed.hold(result, self._hold())
                self.goes_on = True  # only now: what cannot be held ends like any other
        except Exception as error:
            self._policy.complain("response", error)
        return result

    def _hold(self) -> streamed.Held:
        """Put the call aside until its body is read, which may be never: what waits for the status is told now."""
        now = current.get()
        self._close()
        if not self.owns:
            return streamed.Held(self, None, None)
        # What is still there after leaving was not ours; then the body begins with what the call began with.
        context = self._mine if now is None or now is current.get() else now
        return streamed.Held(self, self._mine, context)

    def raised(self, error: BaseException) -> None:
        exchange = self.exchange
        invocation = exchange if isinstance(exchange, Invocation) else None
        status = invocation.failed(error) if invocation is not None else None
        answered = invocation is not None and invocation.answers(error)
        exchange.observe(error, handled=not self.owns or answered, status=status, policy=self._policy)

    def end(self) -> None:
        self._close()
        self._flush()

    async def end_async(self) -> None:
        self._close()
        await self._flush_async()

    def broken(self, error: BaseException) -> None:
        """Note what a step of its body raised; an interceptor around us sees it for itself."""
        if self.owns:
            self.exchange.observe(error, handled=False, policy=self._policy)

    def alone(self, function: Callable[[], Any]) -> Any:
        """Run a call that the filter left out: nobody acts in it, and what it captured is sent all the same."""
        current.set(None)
        try:
            return function()
        finally:
            self._leave_alone()
            self._flush()

    async def alone_async(self, running: Any) -> Any:
        current.set(None)
        try:
            return await running
        finally:
            self._leave_alone()
            await self._flush_async()

    def _flush(self) -> None:
        try:
            self._policy.client.flush(self._rest_s())
        except Exception as error:
            self._policy.complain("flush", error)

    async def _flush_async(self) -> None:
        try:
            await self._policy.client.aflush(self._rest_s())
        except Exception as error:
            self._policy.complain("flush", error)

    def _leave_alone(self) -> None:
        if current.get() is None:
            current.set(self._previous)

    def _close(self) -> None:
        if self.owns:
            self.exchange.close()
            if self._mine is not None:
                restore(self._mine, self._previous)

    def _rest_s(self) -> float:
        if not isinstance(self.exchange, Invocation):
            return FLUSH_S
        try:
            return max(0.0, min(FLUSH_S, self.exchange.rest_s()))
        except Exception as error:
            self._policy.complain("flush", error)
            return FLUSH_S
