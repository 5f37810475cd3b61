"""A pytest plugin: the fixture `posthog` is a client that keeps what it would have sent, and touches no network.

    def test_checkout_is_counted(posthog, shop):        # `posthog` comes with `pip install hogline`
        shop.post("/checkout")
        [event] = posthog.events
        assert event.event == "checkout"

The fixture `posthog_flags` forces what flags answer. An event here is the one on the wire: serialised to its final bytes, and read back.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from hogline.client import Client
from hogline.default import set_default_client
from hogline.delivery import Delivery, Ledger
from hogline.settings import ClientSettings

if TYPE_CHECKING:
    from hogline.flags.overrides import Override

__all__ = ["CapturedEvent", "RecordingPostHog"]

try:
    import pytest
except ImportError:  # the class is of use without pytest too
    pytest = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class CapturedEvent:
    """One event as it stands on the wire."""

    event: str
    distinct_id: str
    properties: dict[str, Any]
    timestamp: str
    uuid: str
    raw: bytes = field(repr=False)

    @classmethod
    def read(cls, raw: bytes) -> "CapturedEvent":
        """Return the event in the wire bytes *raw*."""
        fields = orjson.loads(raw)
        return cls(
            fields["event"], fields["distinct_id"], fields["properties"], fields["timestamp"], fields["uuid"], raw
        )


class _Shelf(Delivery):
    """Where events end up instead of on the network."""

    def __init__(self, settings: ClientSettings, *, ledger: Ledger) -> None:
        super().__init__(settings, ledger=ledger)
        self.kept: list[bytes] = []

    def put(self, event: bytes) -> bool:
        with self._ledger.lock:
            self._ledger.accepted += 1
            self._ledger.sent += 1
        self.kept.append(event)
        return True


class RecordingPostHog(Client):
    """A client whose events stay in `events`. Options are those of `PostHog`."""

    _delivery: _Shelf

    def __init__(self, project_token: str = "phc_testing", **options: Any) -> None:  # noqa: S107 - no password
        super().__init__(project_token, **options)
        self._delivery = _Shelf(self.settings, ledger=self._ledger)
        self._events._put = self._delivery.put  # noqa: SLF001
        self._flags.is_offline = True  # flags are what a test forces them to; the server is never asked

    @property
    def events(self) -> list[CapturedEvent]:
        """What would have been sent, oldest first."""
        return [CapturedEvent.read(raw) for raw in self._delivery.kept]

    def named(self, event: str) -> list[CapturedEvent]:
        """Return the events of that name."""
        return [captured for captured in self.events if captured.event == event]

    def clear(self) -> None:
        """Forget what was kept."""
        self._delivery.kept.clear()


if pytest is not None:

    @pytest.fixture
    def posthog() -> Iterator[RecordingPostHog]:
        """A client that keeps what it would have sent; the default client for the time of the test."""
        client = RecordingPostHog()
        set_default_client(client)
        yield client
        set_default_client(None)
        client.shutdown()

    @pytest.fixture
    def posthog_flags(posthog: RecordingPostHog) -> Iterator[Callable[..., "Override"]]:
        """A function that forces what flags answer, for the time of the test: `posthog_flags({"new-shop": True})`."""
        yield posthog.flags.override
        posthog.flags.clear_overrides()
