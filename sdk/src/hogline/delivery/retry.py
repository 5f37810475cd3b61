"""What to do with a batch after an answer. Pure: knows no clock, no socket and no randomness but what is passed in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from hogline.delivery.ledger import REJECTED, RETRIES_EXHAUSTED, TOO_LARGE

__all__ = [
    "Accepted",
    "Answer",
    "Partly",
    "Refused",
    "RetryAfter",
    "Split",
    "Step",
    "later",
    "next_step",
    "retry_after_s",
]

_FIRST_BACKOFF_S = 1.0
_LONGEST_S = 30.0  # docs/internals/capture-protocol.md#retries
_SHORTEST_S = 0.1
_RETRYABLE = frozenset({408, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request: a status, or a failure to get one."""

    status: int | None
    retry_after: str | None = None
    text: str = ""
    body: bytes = b""

    def __str__(self) -> str:
        return self.text if self.status is None else f"{self.status} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server has it."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Send it again, in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Split:
    """Too large as a whole: send its halves."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Give it up; the reason goes into the ledger."""

    reason: str


@dataclass(frozen=True, slots=True)
class Partly:
    """The server judged each event: these places of the batch are dropped, these are wanted again, the others it has."""

    dropped: tuple[int, ...]
    again: tuple[int, ...]
    then: "RetryAfter | Refused | None"
    """What to do with those that are wanted again."""


Step: TypeAlias = Accepted | RetryAfter | Split | Refused | Partly


def next_step(attempt: int, answer: Answer, *, events: int, max_retries: int, chance: float, now: datetime) -> Step:
    """Say what to do with a batch of *events* after request number *attempt* (1 is the first); 0 <= *chance* < 1 spreads waits.

    Any 2xx is success. 408, 429, 5xx and no answer at all are tried again, waiting between half and all of 1, 2,
    4 ... s, so that three retries outlast three seconds, or as long as `Retry-After` says, at most 30 s. 413 halves the batch. Every other answer is final.
    Source: docs/internals/capture-protocol.md#retries.
    """
    status = answer.status
    if status is not None and 200 <= status < 300:
        return Accepted()
    if status == 413:
        return Split() if events > 1 else Refused(TOO_LARGE)
    if status is not None and status < 500 and status not in _RETRYABLE:
        return Refused(REJECTED)
    return later(attempt, answer, max_retries, chance, now)


def later(attempt: int, answer: Answer, max_retries: int, chance: float, now: datetime) -> RetryAfter | Refused:
    """Say when to try again what failed in request number *attempt*, if it may be tried again."""
    if attempt > max_retries:
        return Refused(RETRIES_EXHAUSTED)
    backoff_s = min(_FIRST_BACKOFF_S * 2 ** min(attempt - 1, 10), _LONGEST_S) * (1 + chance) / 2
    told_s = min(retry_after_s(answer.retry_after, now) or 0.0, _LONGEST_S)
    return RetryAfter(max(backoff_s, told_s, _SHORTEST_S))


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks for: a number, or an HTTP date; None for anything else."""
    if not header:
        return None
    text = header.strip()
    try:
        return max(0.0, float(text)) if text.replace(".", "", 1).isdigit() else _until(text, now)
    except (ValueError, TypeError, OverflowError):
        return None


def _until(date: str, now: datetime) -> float:
    from email.utils import parsedate_to_datetime  # a date in Retry-After is rare, and this import is slow

    when = parsedate_to_datetime(date)
    return max(0.0, ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds())
