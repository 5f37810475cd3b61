"""The middleware: makes each request's exchange, asks the app's callbacks, and ends it whatever happened."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction as is_plain_coroutine_function
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from hogline.context import current
from hogline.exchange import Policy
from hogline.interceptors import wsgi
from hogline.interceptors.django.errors import ATTRIBUTE, install
from hogline.interceptors.django.exchange import DjangoExchange
from hogline.interceptors.django.settings import configured_policy

__all__ = ["PostHogInterceptor"]

_CALLBACKS = ("request_filter", "distinct_id", "properties")


class PostHogInterceptor:
    """Middleware for Django. Its options are in `settings.HOGLINE`: `InterceptorSettings`'.

    Raises ImproperlyConfigured: an option that does not exist, or a value that cannot work.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._policy = self._make_policy()
        self._filter = self._policy.settings.request_filter
        self._awaited: list[str] = []
        self._asynchronous = iscoroutinefunction(get_response)
        if self._asynchronous:
            markcoroutinefunction(self)
            callbacks = {name: getattr(self._policy.settings, name) for name in _CALLBACKS}
            self._awaited = [name for name, callback in callbacks.items() if is_plain_coroutine_function(callback)]
        if self._policy.exceptions is not None:
            install()

    def _make_policy(self) -> Policy:
        return configured_policy()

    def __call__(self, request: Any) -> Any:
        """Answer *request* with its context around everything that does; a coroutine where Django runs us as one."""
        if self._asynchronous:
            return self._answer(request)
        exchange = self._exchange(request)
        if exchange is None:
            return self.get_response(request)
        if self._filter is not None and exchange.outer is None and exchange.answer("request_filter") is False:
            return self._alone(request)
        exchange.begin()
        try:
            response = self.get_response(request)
        except BaseException as error:
            exchange.escaped(error)
            raise
        return exchange.answered(response)

    async def _answer(self, request: Any) -> Any:
        exchange = self._exchange(request)
        if exchange is None:
            return await self.get_response(request)
        if (self._filter is not None or self._awaited) and exchange.outer is None:
            await self._ask(exchange)
            if exchange.answer("request_filter") is False:
                return await self._alone_async(request)
        exchange.begin()
        try:
            response = await self.get_response(request)
        except BaseException as error:
            exchange.escaped(error)
            raise
        return exchange.answered(response)

    def _exchange(self, request: Any) -> DjangoExchange | None:
        """Return the exchange to begin; None inside of a second one of us, which has nothing to add."""
        known = request.__dict__
        if ATTRIBUTE in known:
            return None
        exchange = DjangoExchange(self._policy, request)
        outer = (known.get("scope") or request.META).get(wsgi.EXCHANGE_KEY)
        if outer is not None:
            exchange.outer = outer
        return exchange

    async def _ask(self, exchange: DjangoExchange) -> None:
        """Ask the callbacks that have to be awaited; one that fails counts as not asked."""
        answers: dict[str, Any] = {}
        for name in self._awaited:
            try:
                answers[name] = await getattr(self._policy.settings, name)(exchange.request())
            except Exception as error:
                self._policy.complain(name, error)
                answers[name] = None
        exchange.keep_answers(answers)

    def _alone(self, request: Any) -> Any:
        """Answer a request that the filter left out: without a context, also without an earlier request's."""
        previous = current.get()
        current.set(None)
        try:
            return self.get_response(request)
        finally:
            if current.get() is None:
                current.set(previous)

    async def _alone_async(self, request: Any) -> Any:
        previous = current.get()
        current.set(None)
        try:
            answer: Awaitable[Any] = self.get_response(request)
            return await answer
        finally:
            if current.get() is None:
                current.set(previous)
