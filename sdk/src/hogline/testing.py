"""Testing: record the events that an app would have sent, and force its flags, without a network.

    def test_checkout_is_counted(posthog, shop):        # `posthog` comes with `pip install hogline`
        shop.post("/checkout")
        [event] = posthog.events
        assert event.event == "checkout"

The pytest fixture `posthog` records every client of the process, also those that the app made
itself, before or during the test. `posthog_flags` forces flags for all of them. `with recording()
as posthog:` does the same without pytest.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Unpack

import orjson

from hogline.client import Client
from hogline.client.client import every_client
from hogline.default import chosen_client, set_default_client
from hogline.settings.typed import ClientOptions
from hogline.transports import UploadRequest, UploadResponse

if TYPE_CHECKING:
    from hogline.flags.overrides import Override

__all__ = ["CapturedEvent", "RecordingPostHog", "recording"]

try:
    import pytest
except ImportError:  # the classes are useful without pytest, too
    pytest = None  # type: ignore[assignment]

_FLUSH_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class CapturedEvent:
    """One event as it stands on the wire: serialised to its final bytes, and read back."""

    event: str
    distinct_id: str
    properties: dict[str, Any]
    timestamp: str
    uuid: str
    raw: bytes = field(repr=False)
    project_token: str = ""
    """The token of the client that captured it."""

    @classmethod
    def read(cls, raw: bytes, project_token: str = "") -> "CapturedEvent":
        """Return the event in the wire bytes *raw*."""
        fields = orjson.loads(raw)
        return cls(
            fields["event"],
            fields["distinct_id"],
            fields["properties"],
            fields["timestamp"],
            fields["uuid"],
            raw,
            project_token,
        )


class _Recorder:
    """A transport that keeps the events, and answers that each was accepted."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def send(self, request: UploadRequest) -> UploadResponse:
        self.kept += request.events
        accepted = {orjson.loads(event)["uuid"]: {"result": "ok"} for event in request.events}
        return UploadResponse(200, orjson.dumps({"results": accepted}))

    def close(self) -> None:
        pass


class RecordingPostHog(Client):
    """A client whose events stay in `events`. Its flags are unknown unless they are forced.

    Options are those of `PostHog`.
    """

    def __init__(self, project_token: str = "phc_testing", **options: Unpack[ClientOptions]) -> None:  # noqa: S107 - no password
        self._recorder = _Recorder()
        self._tokens: dict[str, str] = {}  # of other clients, by the uuid of the event
        options["transport"] = self._recorder
        super().__init__(project_token, **options)
        self._flags.set_offline(True)

    @property
    def events(self) -> list[CapturedEvent]:
        """The recorded events, oldest first."""
        self.flush(_FLUSH_TIMEOUT_S)
        events = [CapturedEvent.read(raw) for raw in self._recorder.kept]
        return [replace(event, project_token=self._tokens.get(event.uuid, self.project_token)) for event in events]

    def named(self, event: str) -> list[CapturedEvent]:
        """Return the recorded events of that name."""
        return [captured for captured in self.events if captured.event == event]

    def clear(self) -> None:
        """Forget the recorded events."""
        self.flush(_FLUSH_TIMEOUT_S)
        self._recorder.kept.clear()

    @contextmanager
    def recording(self, client: Client) -> Iterator[None]:
        """Record what *client* captures in this block. Nothing leaves *client*.

        The block's flags are forced as those of *client* are.
        """
        token = client.project_token

        def put(event: bytes) -> bool:
            self._tokens[orjson.loads(event)["uuid"]] = token
            return self._delivery.put(event)

        with client._events.diverted(put), client._flags.following(self._flags):  # noqa: SLF001 - a client, too
            yield


@contextmanager
def recording(**options: Unpack[ClientOptions]) -> Iterator[RecordingPostHog]:
    """Record every client of this process in this block, however and whenever it was made.

    *options* are for the recording client.
    """
    previous = chosen_client()
    posthog = RecordingPostHog(**options)

    def record(client: Client) -> None:
        if not isinstance(client, RecordingPostHog):
            recorded.enter_context(posthog.recording(client))

    with ExitStack() as recorded:
        recorded.enter_context(every_client(record))
        set_default_client(posthog)
        recorded.callback(set_default_client, previous)
        yield posthog
    posthog.shutdown()


if pytest is not None:

    @pytest.fixture
    def posthog() -> Iterator[RecordingPostHog]:
        """Return a client that records the events of every client of the process.

        It is the default client during the test.
        """
        with recording() as client:
            yield client

    @pytest.fixture
    def posthog_flags(posthog: RecordingPostHog) -> Iterator[Callable[..., "Override"]]:
        """Return a function that forces flags during the test, for every client.

        An example is `posthog_flags({"new-shop": True})`.
        """
        yield posthog.flags.override
        posthog.flags.clear_overrides()
