"""The app's callbacks, where some of them have to be awaited: those are asked before the app runs, and remembered."""

from inspect import iscoroutinefunction
from typing import Any

from hogline.exchange import Exchange
from hogline.exchange.policy import Policy

__all__ = ["Callbacks"]

_NAMES = ("request_filter", "distinct_id", "properties")


class Callbacks:
    """What must be asked of the app before it gets a request."""

    __slots__ = ("_awaited", "_policy", "any")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._awaited = [name for name in _NAMES if _is_asynchronous(getattr(policy.settings, name))]
        self.any: bool = policy.settings.request_filter is not None or bool(self._awaited)
        """Whether there is anything to ask; most apps have nothing."""

    async def admit(self, exchange: Exchange) -> bool:
        """Ask the filter, and the callbacks that have to be awaited; one that fails counts as not asked."""
        answers: dict[str, Any] = {}
        for name in self._awaited:
            try:
                answers[name] = await getattr(self._policy.settings, name)(exchange.request())
            except Exception as error:
                self._policy.complain(name, error)
                answers[name] = None
        exchange.keep_answers(answers)
        return exchange.answer("request_filter") is not False


def _is_asynchronous(callback: Any) -> bool:
    return iscoroutinefunction(callback) or iscoroutinefunction(getattr(callback, "__call__", None))  # noqa: B004
