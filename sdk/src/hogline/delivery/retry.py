"""Decides what to do with a batch after a response.

The functions are pure: clock, randomness and response are passed in.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from hogline.delivery.ledger import REJECTED, RETRIES_EXHAUSTED, TOO_LARGE
from hogline.transports import UploadResponse

__all__ = [
    "Accepted",
    "PartlyAccepted",
    "Refused",
    "RetryAfter",
    "RetryPolicy",
    "Split",
    "Step",
    "later",
    "next_step",
    "retry_after_s",
]

_LONGEST_S = 30.0  # docs/internals/capture-protocol.md#retries
_SHORTEST_S = 0.1
_RETRYABLE = frozenset({408, 429})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed request is retried, and how long the first wait is at most.

    Each later wait is twice as long.
    """

    max_retries: int = 3
    first_backoff_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server has the batch."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Send the batch again after a wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Split:
    """The batch is too large: send its halves."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Drop the batch."""

    reason: str
    """The ledger's reason for the loss."""


@dataclass(frozen=True, slots=True)
class PartlyAccepted:
    """The server answered for each event.

    It dropped some, asks for some again, and has the others.
    """

    dropped: tuple[int, ...]
    """Places in the batch."""
    retried: tuple[int, ...]
    """Places in the batch."""
    then: "RetryAfter | Refused | None"
    """The step for the events at `retried`."""


Step: TypeAlias = Accepted | RetryAfter | Split | Refused | PartlyAccepted


def next_step(
    attempt: int, response: UploadResponse, *, events: int, policy: RetryPolicy, chance: float, now: datetime
) -> Step:
    """Return what to do with a batch of *events* after request number *attempt* (1 is the first).

    Any 2xx is success. 408, 429, 5xx and no response are retried: after half to all of 1, 2, 4 ...
    s, so that three retries take over three seconds, or after `Retry-After`, at most 30 s. 413
    halves the batch. Any other status is final. *chance* (0 <= chance < 1) spreads the waits.
    Source: docs/internals/capture-protocol.md#retries.
    """
    status = response.status
    if status is not None and 200 <= status < 300:
        return Accepted()
    if status == 413:
        return Split() if events > 1 else Refused(TOO_LARGE)
    if status is not None and status < 500 and status not in _RETRYABLE:
        return Refused(REJECTED)
    return later(attempt, response, policy, chance, now)


def later(
    attempt: int, response: UploadResponse, policy: RetryPolicy, chance: float, now: datetime
) -> RetryAfter | Refused:
    """Return when to retry what failed in request number *attempt*.

    The result may also be that it may not be retried any more.
    """
    if attempt > policy.max_retries:
        return Refused(RETRIES_EXHAUSTED)
    backoff_s = min(policy.first_backoff_s * 2 ** min(attempt - 1, 10), _LONGEST_S) * (1 + chance) / 2
    requested_s = min(retry_after_s(response.retry_after, now) or 0.0, _LONGEST_S)
    return RetryAfter(max(backoff_s, requested_s, _SHORTEST_S))


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, or None.

    The header holds a number, or an HTTP date.
    """
    if not header:
        return None
    text = header.strip()
    try:
        return max(0.0, float(text)) if text.replace(".", "", 1).isdigit() else _until(text, now)
    except (ValueError, TypeError, OverflowError):
        return None


def _until(date: str, now: datetime) -> float:
    # A date in Retry-After is rare, and this import is slow.
    from email.utils import parsedate_to_datetime

    when = parsedate_to_datetime(date)
    return max(0.0, ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds())
