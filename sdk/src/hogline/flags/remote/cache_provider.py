"""The provider: where an app keeps flag definitions for all of its hosts, with posthog-python's protocol.

Its methods may be plain or asynchronous; nothing that they raise reaches the flags. Definitions that it lacks are fetched.
Source: docs/internals/flags-protocol.md#local-definitions.
"""

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["FlagDefinitionCacheProvider", "Provider"]

_log = logging.getLogger("hogline")
_KEPT = ("flags", "group_type_mapping", "cohorts", "minimal_flag_called_events", "property_matching_version")


@runtime_checkable
class FlagDefinitionCacheProvider(Protocol):
    """What `flag_definition_cache_provider` takes: a cache, and a lock, that all hosts share. Each method may be `async def`."""

    def should_fetch_flag_definitions(self) -> Any:
        """Tell whether this process may ask the server now. Asked every `poll_interval`; one process of all should be told so."""

    def get_flag_definitions(self) -> Any:
        """Return the mapping that was last handed to `on_flag_definitions_received`; None: there is none."""

    def on_flag_definitions_received(self, data: dict[str, Any]) -> Any:
        """Keep *data*, JSON's types throughout, and let go of the lock."""

    def shutdown(self) -> Any:
        """Let go of whatever is held."""


class Provider:
    """An app's provider, behind a guard."""

    def __init__(self, provider: FlagDefinitionCacheProvider, timeout_s: float) -> None:
        self._provider = provider
        self._timeout_s = timeout_s
        self._loop: AbstractEventLoop | None = None

    def begin_anew(self) -> None:
        """Leave the parent's event loop to the parent."""
        self._loop = None

    def definitions(self, *, is_needed: bool) -> Mapping[str, Any] | None:
        """Return what others have put there; None: the server is to be asked, now, by this process.

        Nothing, `{}`: another process is at it, and this one goes on with what it has. *is_needed*: it has nothing.
        """
        try:
            if self._answer(self._provider.should_fetch_flag_definitions()):
                return None
            found = self._answer(self._provider.get_flag_definitions())
            if isinstance(found, Mapping) and isinstance(found.get("flags"), list):
                return found
        except Exception as error:
            _log.error("hogline: flag_definition_cache_provider failed, the server is asked: %r", error)
            return None
        return None if is_needed else {}

    def put(self, definitions: Mapping[str, Any]) -> None:
        """Hand over what the server sent. Never raises."""
        try:
            kept = {name: definitions[name] for name in _KEPT if definitions.get(name) is not None}
            empty: dict[str, Any] = {"group_type_mapping": {}, "cohorts": {}}
            self._answer(self._provider.on_flag_definitions_received(empty | kept))
        except Exception as error:
            _log.error("hogline: flag_definition_cache_provider did not take the definitions: %r", error)

    def close(self) -> None:
        """Let it go. Never raises."""
        try:
            self._answer(self._provider.shutdown())
        except Exception as error:
            _log.error("hogline: flag_definition_cache_provider did not shut down: %r", error)
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _answer(self, answer: Any) -> Any:
        """Return what *answer* comes to, if it is awaitable. One loop serves for all: clients of caches belong to theirs."""
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
