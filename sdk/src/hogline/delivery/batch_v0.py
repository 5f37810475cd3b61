"""A batch for `POST /batch/`, which answers for the batch as a whole.

Source: docs/internals/capture-protocol.md#the-v0-request.
"""

from collections.abc import Sequence
from datetime import datetime

from hogline.delivery.batch import AGENT
from hogline.delivery.retry import RetryPolicy, Step, next_step
from hogline.settings import ClientSettings
from hogline.transports import UploadRequest, UploadResponse
from hogline.wire.batch import BATCH_PATH, compress, encode

__all__ = ["BatchV0"]


class BatchV0:
    """Events as one request to `/batch/`, or to another *path* with the same protocol."""

    request_id = None

    def __init__(self, events: list[bytes], settings: ClientSettings, path: str = BATCH_PATH) -> None:
        self.events = events
        self._settings = settings
        self._path = path

    def request(self, attempt: int, now: datetime, timeout_s: float) -> UploadRequest:  # noqa: ARG002 - v0 does not count attempts
        """Return the request, with a fresh `sent_at`: the server corrects clocks by it."""
        settings = self._settings
        body = encode(
            self.events,
            settings.project_token,
            now.isoformat(),
            historical_migration=settings.historical_migration,
        )
        headers = {"Content-Type": "application/json", "User-Agent": AGENT}
        if settings.gzip:
            body = compress(body)
            headers["Content-Encoding"] = "gzip"
        return UploadRequest(settings.host + self._path, headers, body, self.events, timeout_s)

    def next_step(
        self, attempt: int, response: UploadResponse, *, policy: RetryPolicy, chance: float, now: datetime
    ) -> Step:
        """Return what to do after *response*."""
        return next_step(attempt, response, events=len(self.events), policy=policy, chance=chance, now=now)

    def part(self, places: Sequence[int]) -> "BatchV0":
        """Return a batch of the events at *places*."""
        return BatchV0([self.events[place] for place in places], self._settings, self._path)

    def details(self, places: Sequence[int], response: UploadResponse) -> tuple[str, ...]:  # noqa: ARG002
        """Return nothing: v0 says nothing of single events."""
        return ()
