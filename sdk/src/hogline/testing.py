"""Testing: record the events that an app would have sent, and force its flags, without a network.

    def test_checkout_is_counted(posthog, shop):        # `posthog` comes with `pip install hogline`
        shop.post("/checkout")
        [event] = posthog.events
        assert event.event == "checkout"

The pytest fixture `posthog` records every client of the process, also those that the app made
itself, before or during the test. `posthog_flags` forces flags for all of them. `with recording()
as posthog:` does the same without pytest.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import urlencode

import orjson
import urllib3

from hogline.client import Client
from hogline.client.client import every_client
from hogline.default import chosen_client, set_default_client
from hogline.settings.typed import ClientOptions
from hogline.transports import UploadRequest, UploadResponse

if TYPE_CHECKING:
    import os

    from hogline.flags.overrides import Override

__all__ = ["CapturedEvent", "RecordingPostHog", "RunningInstance", "recording", "running_instance"]

try:
    import pytest
except ImportError:  # the classes are useful without pytest, too
    pytest = None  # type: ignore[assignment]

_FLUSH_TIMEOUT_S = 60.0
_START_TIMEOUT_S = 60.0


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


@dataclass(frozen=True, slots=True)
class RunningInstance:
    """An instance that was started for tests, with its keys, and calls that prepare and read it."""

    url: str
    project_token: str
    personal_key: str

    def set_flag(self, key: str, value: bool | str = True, *, payload: Any = None, **filters: Any) -> None:
        """Define flag *key* so that everybody gets *value*, a variant where it is a text.

        *filters*, such as `groups=[...]`, define the flag in PostHog's own form instead.
        """
        groups: list[Any] = [{"properties": [], "rollout_percentage": 0 if value is False else 100}]
        made: dict[str, Any] = {"groups": groups}
        if isinstance(value, str):
            made["multivariate"] = {"variants": [{"key": value, "rollout_percentage": 100}]}
        if payload is not None:
            made["payloads"] = {value if isinstance(value, str) else "true": orjson.dumps(payload).decode()}
        body = {"key": key, "active": True, "filters": {**made, **filters}}
        path = "/api/projects/@current/feature_flags/"
        found = self.api("GET", f"{path}?{urlencode({'search': key, 'limit': 1000})}")["results"]
        known = next((flag["id"] for flag in found if flag["key"] == key), None)
        self.api("PATCH" if known else "POST", f"{path}{known}/" if known else path, body)

    def events(self, count: int = 0, *, timeout_s: float = 30.0, **query: str) -> list[dict[str, Any]]:
        """Return the stored events that match *query*, oldest first, once there are *count* of them.

        *query* takes the parameters of the events endpoint: `event`, `distinct_id`, `session_id`,
        and others. Raises AssertionError: they did not arrive within *timeout_s*.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = self.api("GET", f"/api/projects/@current/events/?{urlencode({'limit': 1000, **query})}")["results"]
            if len(found) >= count:
                return list(reversed(found))
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{len(found)} of {count} events after {timeout_s} s: {query}")
            time.sleep(0.05)

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Call the instance's API with the personal key, and return the decoded answer.

        Raises AssertionError: the answer is an error.
        """
        response = urllib3.request(
            method, self.url + path, body=orjson.dumps(body) if body is not None else None, timeout=30.0,
            headers={"Authorization": f"Bearer {self.personal_key}", "Content-Type": "application/json"}, retries=False,
        )  # fmt: skip
        if response.status >= 400:
            raise AssertionError(f"{method} {path}: {response.status} {response.data[:500]!r}")
        return orjson.loads(response.data) if response.data else None


@contextmanager
def running_instance(data_dir: "str | os.PathLike[str]") -> Iterator[RunningInstance]:
    """Run `hogline serve` on a free port with its data in *data_dir*, until the block ends.

    Raises AssertionError: it did not start; the message holds its log. It takes
    `pip install hogline-instance`.
    """
    command = [sys.executable, "-m", "hogline.cli", "serve", "--data", str(data_dir), "--port", "0"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)  # noqa: S603 - our own command
        try:
            yield _announced(process, log)
        finally:
            process.terminate()
            process.wait(60)


def _announced(process: "subprocess.Popen[str]", log: Any) -> RunningInstance:
    """Wait until the instance has printed its address and keys."""
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        log.seek(0)
        printed = (line.strip().rpartition("  ") for line in log if line.startswith("  "))
        found = {name.strip(): value.strip() for name, _, value in printed}
        if {"url", "project token", "personal key"} <= found.keys():
            return RunningInstance(found["url"], found["project token"], found["personal key"])
        time.sleep(0.05)
    log.seek(0)
    raise AssertionError(f"the instance did not start:\n{log.read()[-5_000:]}")


if pytest is not None:

    @pytest.fixture(scope="session")
    def hogline_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningInstance]:
        """Start an instance for the whole test session, and return it."""
        with running_instance(tmp_path_factory.mktemp("hogline-instance") / "data") as instance:
            yield instance

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
