"""The cache provider: an app's own cache of flag definitions for all of its hosts.

Its protocol is that of posthog-python.

Its methods may be plain or asynchronous; exceptions that they raise do not reach the flags. Missing
definitions are fetched.
Source: docs/internals/flags-protocol.md#local-definitions.
"""

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from hogline.guard import guard

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["FlagDefinitionCacheProvider", "Provider"]

_log = logging.getLogger("hogline")
_ACTIONS = {
    "get": "return the definitions, so the server is asked",
    "put": "store the definitions",
    "shutdown": "shut down",
}
_KEPT = ("flags", "group_type_mapping", "cohorts", "minimal_flag_called_events", "property_matching_version")


@runtime_checkable
class FlagDefinitionCacheProvider(Protocol):
    """For `flag_definition_cache_provider`: a cache, and a lock, that all hosts share.

    Each method may be `async def`.
    """

    def should_fetch_flag_definitions(self) -> Any:
        """Return whether this process may ask the server now. Called every `poll_interval`.

        True for one process at a time.
        """

    def get_flag_definitions(self) -> Any:
        """Return the mapping that `on_flag_definitions_received` last got; None: there is none."""

    def on_flag_definitions_received(self, data: dict[str, Any]) -> Any:
        """Store *data*, which holds only JSON's types, and release the lock."""

    def shutdown(self) -> Any:
        """Release the lock, if it is held."""


class Provider:
    """Calls an app's provider, and logs what it raises."""

    def __init__(self, provider: FlagDefinitionCacheProvider, timeout_s: float) -> None:
        self._provider = provider
        self._timeout_s = timeout_s
        self._loop: AbstractEventLoop | None = None

    def begin_anew(self) -> None:
        """Forget the parent's event loop after a fork."""
        self._loop = None

    def definitions(self, *, is_needed: bool) -> Mapping[str, Any] | None:
        """Return the cached definitions; None: this process has to ask the server now.

        An empty mapping means that another process is asking, and this one keeps its definitions.
        *is_needed*: it has none.
        """
        with guard("get", self._log_failure):
            if self._await(self._provider.should_fetch_flag_definitions()):
                return None
            found = self._await(self._provider.get_flag_definitions())
            if isinstance(found, Mapping) and isinstance(found.get("flags"), list):
                return found
            return None if is_needed else {}
        return None

    def put(self, definitions: Mapping[str, Any]) -> None:
        """Pass the definitions that the server sent to the provider. Never raises."""
        with guard("put", self._log_failure):
            kept = {name: definitions[name] for name in _KEPT if definitions.get(name) is not None}
            empty: dict[str, Any] = {"group_type_mapping": {}, "cohorts": {}}
            self._await(self._provider.on_flag_definitions_received(empty | kept))

    def close(self) -> None:
        """Shut the provider down. Never raises."""
        with guard("shutdown", self._log_failure):
            self._await(self._provider.shutdown())
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _log_failure(self, what: str, error: Exception) -> None:
        _log.error("hogline: flag_definition_cache_provider failed to %s: %r", _ACTIONS[what], error)

    def _await(self, answer: Any) -> Any:
        """Return the result of *answer*, if it is awaitable.

        One event loop runs all calls: clients of caches are bound to theirs.
        """
        if not hasattr(answer, "__await__"):
            return answer
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(self._loop,), name="hogline-flag-cache", daemon=True).start()

        async def awaited() -> Any:
            return await answer

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(self._timeout_s)


def _run(loop: "AbstractEventLoop") -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()
