"""The middleware for Django.

It makes each request's exchange, calls the app's callbacks, and always ends the exchange.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from hogline.context import current, without_context
from hogline.exchange import Policy
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.nesting import EXCHANGE_KEY, SCOPE_KEY, exchange_around
from hogline.interceptors.django.errors import ATTRIBUTE, install
from hogline.interceptors.django.exchange import DjangoExchange
from hogline.interceptors.django.settings import configured_policy

__all__ = ["PostHogInterceptor"]


class PostHogInterceptor:
    """Middleware for Django.

    Its options, those of `InterceptorSettings`, are in `settings.HOGLINE`.

    Raises ImproperlyConfigured: an option that does not exist, or a value that cannot work.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._policy = self._make_policy()
        self._callbacks = Callbacks(self._policy)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        if self._policy.exceptions is not None:
            install()

    def _make_policy(self) -> Policy:
        return configured_policy()

    def __call__(self, request: Any) -> Any:
        """Answer *request* with its context around the rest of the stack.

        In an asynchronous stack this returns a coroutine.
        """
        if self._is_async:
            return self._answer(request)
        exchange = self._exchange(request)
        if exchange is None:
            return self.get_response(request)
        if self._callbacks.any and exchange.outer is None and not self._callbacks.admit_sync(exchange):
            with without_context():
                return self.get_response(request)
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
        if self._callbacks.any and exchange.outer is None and not await self._callbacks.admit(exchange):
            with without_context():
                return await self.get_response(request)
        exchange.begin()
        try:
            response = await self.get_response(request)
        except BaseException as error:
            exchange.escaped(error)
            raise
        return exchange.answered(response)

    def _exchange(self, request: Any) -> DjangoExchange | None:
        """Return the exchange to begin; None inside another instance of this middleware."""
        known = request.__dict__
        if ATTRIBUTE in known:
            return None
        exchange = DjangoExchange(self._policy, request)
        carrier = known.get("scope") or request.META
        if current.get() is not None or EXCHANGE_KEY in carrier or SCOPE_KEY in carrier:
            outer = exchange_around(exchange, carrier)
            if outer is not None:
                exchange.outer = outer
        return exchange
