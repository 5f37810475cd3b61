"""A batch: events that leave together, in one form of PostHog's capture protocol."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from hogline.delivery.retry import RetryPolicy, Step
from hogline.transports import UploadRequest, UploadResponse
from hogline.version import __version__

__all__ = ["AGENT", "Batch"]

AGENT = f"hogline/{__version__}"


class Batch(Protocol):
    """Makes the requests for its events, and reads the responses."""

    events: list[bytes]
    """The events as they stand in the queue."""

    @property
    def request_id(self) -> str | None:
        """The id by which the server knows the request, if the protocol has one."""

    def request(self, attempt: int, now: datetime, timeout_s: float) -> UploadRequest:
        """Return request number *attempt*, 1 for the first."""

    def next_step(
        self, attempt: int, response: UploadResponse, *, policy: RetryPolicy, chance: float, now: datetime
    ) -> Step:
        """Return what to do after *response*."""

    def part(self, places: Sequence[int]) -> "Batch":
        """Return a batch of the events at *places*, as a retry of the same request."""

    def details(self, places: Sequence[int], response: UploadResponse) -> tuple[str, ...]:
        """Return what *response* says of each event at *places*."""
