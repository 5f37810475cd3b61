"""posthog-python's asynchronous client: the one client, whose methods that wait are awaitable here.

    async with AsyncPosthog("<project token>", host="https://us.i.posthog.com") as posthog:
        posthog.capture("checkout", distinct_id="user-1")
        flags = await posthog.evaluate_flags("user-1")

New code needs no other class: `PostHog` captures without waiting, and has `aflush()`,
`aevaluate_flags()` and their kin.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from hogline.client import Client
from hogline.context import Scope
from hogline.delivery import Stats
from hogline.settings.typed import ClientOptions

if TYPE_CHECKING:
    from hogline.flags import FeatureFlagEvaluations, FeatureFlagResult

__all__ = ["AsyncClient", "AsyncPosthog"]

_F = TypeVar("_F", bound=Callable[..., Any])


class AsyncPosthog:
    """A client with posthog-python's asynchronous methods. Options are those of `PostHog`.

    `client` is the `PostHog` inside.
    """

    def __init__(
        self, project_token: str | None = None, host: str | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        self.client: Client = Client(project_token, host, **options)

    def __getattr__(self, name: str) -> Any:
        """Return what is not asynchronous from the client inside.

        These are the options, `disabled` and the methods of contexts.
        """
        if name == "client":
            raise AttributeError(name)
        return getattr(self.client, name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()

    # -- these only enqueue ------------------------------------------------------------------------

    def capture(self, event: str, **arguments: Any) -> str | None:
        """Send *event*; see `PostHog.capture`."""
        return self.client.capture(event, **arguments)

    def capture_ai(self, event: str, **arguments: Any) -> str | None:
        """Send an AI event; see `PostHog.capture_ai`."""
        return self.client.capture_ai(event, **arguments)

    def capture_exception(self, exception: Any = None, **arguments: Any) -> str | None:
        """Send an exception; see `PostHog.capture_exception`."""
        return self.client.capture_exception(exception, **arguments)

    def set(self, **arguments: Any) -> str | None:
        """Set person properties; see `PostHog.set`."""
        return self.client.set(**arguments)

    def set_once(self, **arguments: Any) -> str | None:
        """Set person properties that are not set yet; see `PostHog.set_once`."""
        return self.client.set_once(**arguments)

    def alias(
        self,
        previous_id: Any,
        distinct_id: Any = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Join two ids; see `PostHog.alias`."""
        return self.client.alias(previous_id, distinct_id, timestamp, uuid, disable_geoip)

    def group_identify(
        self,
        group_type: str,
        group_key: Any,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
        distinct_id: Any = None,
    ) -> str | None:
        """Set group properties; see `PostHog.group_identify`."""
        return self.client.group_identify(
            group_type, group_key, properties, timestamp, uuid, disable_geoip, distinct_id
        )

    def new_context(self, fresh: bool = False, capture_exceptions: bool | None = None) -> Scope:
        """Return a `with` block; see `PostHog.new_context`."""
        return self.client.new_context(fresh, capture_exceptions)

    def scoped(self, fresh: bool = False, capture_exceptions: bool | None = None) -> Callable[[_F], _F]:
        """Return a decorator; see `PostHog.scoped`."""
        return self.client.scoped(fresh, capture_exceptions)

    def stats(self) -> Stats:
        """Return the counts; see `PostHog.stats`."""
        return self.client.stats()

    # -- these wait --------------------------------------------------------------------------------

    async def capture_immediate(self, event: str, **arguments: Any) -> str | None:
        """Send *event* and wait until everything queued is sent.

        A platform that may freeze the process needs it.
        """
        event_id = self.client.capture(event, **arguments)
        if event_id is not None:
            await self.client.aflush()
        return event_id

    async def evaluate_flags(
        self,
        distinct_id: Any = None,
        groups: Mapping[str, Any] | None = None,
        person_properties: Mapping[str, Any] | None = None,
        group_properties: Mapping[str, Mapping[str, Any]] | None = None,
        disable_geoip: bool | None = None,
        flag_keys: Sequence[str] | None = None,
        device_id: str | None = None,
    ) -> "FeatureFlagEvaluations":
        """Return all flags of one person; see `PostHog.evaluate_flags`."""
        return await self.client.aevaluate_flags(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip=disable_geoip,
            flag_keys=flag_keys,
            device_id=device_id,
        )

    async def get_feature_flag_result(
        self, key: str, distinct_id: Any = None, **arguments: Any
    ) -> "FeatureFlagResult | None":
        """Return one flag; see `PostHog.get_feature_flag_result`."""
        return await self.client.aget_feature_flag_result(key, distinct_id, **arguments)

    async def get_remote_config_payload(self, key: str) -> Any:
        """Return a remote config payload; see `PostHog.get_remote_config_payload`."""
        return await self.client.aget_remote_config_payload(key)

    async def load_feature_flags(self) -> bool:
        """Load the definitions; see `PostHog.load_feature_flags`."""
        return await self.client.aload_feature_flags()

    async def flush(self, timeout_seconds: float | None = 10.0) -> bool:
        """Send what waits; see `PostHog.flush`."""
        return await self.client.aflush(timeout_seconds)

    async def shutdown(self, timeout_seconds: float | None = None) -> bool:
        """Send what waits and stop; see `PostHog.shutdown`."""
        return await self.client.ashutdown(timeout_seconds)

    async def join(self) -> None:
        """Send what waits and stop; posthog-python's older name."""
        await self.shutdown()


AsyncClient = AsyncPosthog
