"""Recorder: the part of a client that an exchange needs.

This module also defines the observed exception that a recorder receives.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hogline.context import Context
from hogline.tracebacks import Mechanism

__all__ = ["ExceptionSink", "ObservedException", "Recorder"]


@dataclass(slots=True)
class ObservedException:
    """An exception, kept until the status of its response is known."""

    error: BaseException
    entries: list[dict[str, Any]]
    """`$exception_list`, as it was when the exception was observed."""
    source: str
    context: Context | None
    status: int | None
    handled: bool
    stamp_ns: int
    span: Mapping[str, str]
    """The OpenTelemetry span that was active."""
    otherwise: Callable[[], object] | None = None
    """Called if the exception is handled and does not become an event.

    It sends the report that the app itself made.
    """


class ExceptionSink(Protocol):
    """The part of a client that takes the exceptions which an exchange observed."""

    def serialise(self, error: BaseException, mechanism: Mechanism) -> list[dict[str, Any]]:
        """Return `$exception_list` for *error* as it is now."""

    def send_observed(self, observed: ObservedException, properties: Mapping[str, Any]) -> None:
        """Send the `$exception` event of an observed exception."""

    def count_overflow(self) -> None:
        """Count an exception that was dropped because too many of its request were waiting."""


class Recorder(Protocol):
    """The part of a client that an exchange needs."""

    project_token: str

    @property
    def exceptions(self) -> ExceptionSink:
        """Where observed exceptions go."""

    def flush(self, timeout_seconds: float | None = 10.0) -> bool:
        """Send the events that are queued."""

    async def aflush(self, timeout_seconds: float | None = 10.0) -> bool:
        """Send the events that are queued."""

    def lost(self, what: str, error: BaseException) -> None:
        """Count an event that could not be made because of *error*, and log that."""
