"""The app's callbacks. Asynchronous ones are called before the app runs, and their answers kept."""

from inspect import iscoroutinefunction
from typing import Any

from hogline.exchange import Exchange, Policy
from hogline.guard import guard

__all__ = ["Callbacks"]

_NAMES = ("request_filter", "distinct_id", "properties")


class Callbacks:
    """The callbacks that must be called before the app gets a request."""

    __slots__ = ("_awaited", "_policy", "any")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._awaited = [name for name in _NAMES if _is_asynchronous(getattr(policy.settings, name))]
        self.any: bool = policy.settings.request_filter is not None or bool(self._awaited)
        """Whether there are any; most apps have none."""

    async def admit(self, exchange: Exchange) -> bool:
        """Await the asynchronous callbacks and return whether the filter lets the request in.

        A callback that raises counts as one that returned None.
        """
        answers: dict[str, Any] = dict.fromkeys(self._awaited)
        for name in self._awaited:
            with guard(name, self._policy.complain):
                answers[name] = await getattr(self._policy.settings, name)(exchange.request())
        exchange.keep_answers(answers)
        return self.admit_sync(exchange)

    def admit_sync(self, exchange: Exchange) -> bool:
        """Return whether the filter lets the request in."""
        return exchange.answer("request_filter") is not False


def _is_asynchronous(callback: Any) -> bool:
    return iscoroutinefunction(callback) or iscoroutinefunction(getattr(callback, "__call__", None))  # noqa: B004
