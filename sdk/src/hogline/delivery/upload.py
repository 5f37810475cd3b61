"""The courier: carries one batch until the server has it, or until it is given up. One letter for each form of the protocol.

Imported when the first batch leaves.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import random
from typing import TYPE_CHECKING, NamedTuple, Protocol

from hogline.delivery.ledger import REJECTED
from hogline.delivery.retry import Accepted, Answer, Partly, Refused, RetryAfter, Split, Step, next_step
from hogline.delivery.transport import Transport
from hogline.settings import ClientSettings
from hogline.version import __version__
from hogline.wire.batch import BATCH_PATH, compress, encode

if TYPE_CHECKING:
    from hogline.delivery.queue import Lane

__all__ = ["AGENT", "Letter", "Request", "deliver"]

_log = logging.getLogger("hogline")
AGENT = f"hogline/{__version__}"
_MIN_TIMEOUT_S = 0.001  # urllib3 takes no 0
_MAX_ANSWER_BYTES = 64 * 1024  # of v0's answer nobody reads more than the beginning, for the log


class Request(NamedTuple):
    """What the transport sends."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    max_answer_bytes: int = _MAX_ANSWER_BYTES


class Letter(Protocol):
    """A batch in one form of the protocol."""

    batch: list[bytes]
    """The events as they wait in the queue."""

    def request(self, attempt: int, now: datetime) -> Request:
        """Return request number *attempt*, 1 for the first."""

    def next_step(self, attempt: int, answer: Answer, *, max_retries: int, chance: float, now: datetime) -> Step:
        """Say what to do after *answer*."""

    def part(self, places: Sequence[int]) -> "Letter":
        """Return the letter for some of its events, as the same request tried again."""

    def details(self, places: Sequence[int], answer: Answer) -> tuple[str, ...]:
        """Return what *answer* says on each of those events."""

    @property
    def request_id(self) -> str | None:
        """The id that the server knows the request by."""


class LetterV0:
    """`POST /batch/`.  Source: docs/internals/capture-protocol.md#the-v0-request."""

    request_id = None

    def __init__(self, batch: list[bytes], settings: ClientSettings) -> None:
        self.batch = batch
        self._settings = settings

    def request(self, attempt: int, now: datetime) -> Request:  # noqa: ARG002 - a Letter's question
        """Return the request, with a fresh `sent_at`: the server corrects clocks by it."""
        settings = self._settings
        body = encode(
            self.batch,
            settings.project_token,
            now.isoformat(),
            historical_migration=settings.historical_migration,
        )
        headers = {"Content-Type": "application/json", "User-Agent": AGENT}
        if settings.gzip:
            body = compress(body)
            headers["Content-Encoding"] = "gzip"
        return Request(BATCH_PATH, body, headers)

    def next_step(self, attempt: int, answer: Answer, *, max_retries: int, chance: float, now: datetime) -> Step:
        """Say what to do after *answer*."""
        return next_step(attempt, answer, events=len(self.batch), max_retries=max_retries, chance=chance, now=now)

    def part(self, places: Sequence[int]) -> "LetterV0":
        """Return the letter for some of its events."""
        return LetterV0([self.batch[place] for place in places], self._settings)

    def details(self, places: Sequence[int], answer: Answer) -> tuple[str, ...]:  # noqa: ARG002 - as above
        """Return nothing: v0 answers for the batch."""
        return ()


def deliver(lane: "Lane", batch: list[bytes], transport: Transport, deadline_s: float | None = None) -> None:
    """Send *batch* until each of its events is settled, or the lane lets it rest, or *deadline_s* has come."""
    settings = lane.settings
    letters: list[Letter]
    if settings.capture_mode == "v1":
        from hogline.delivery.batch_v1 import letters_v1  # who doesn't use it saves its import

        letters = [*letters_v1(batch, settings)]
    else:
        letters = [LetterV0(batch, settings)]
    for letter in letters:
        _carry(lane, letter, transport, deadline_s)


def _carry(lane: "Lane", letter: Letter, transport: Transport, deadline_s: float | None) -> None:
    settings = lane.settings
    attempt = 0
    while lane.may_send(deadline_s):
        attempt += 1
        request = letter.request(attempt, datetime.now(UTC))
        answer = transport.send(
            request.path,
            request.body,
            request.headers,
            timeout_s=_timeout_s(settings, deadline_s),
            max_answer_bytes=request.max_answer_bytes,
        )
        if settings.debug:
            _log.info("hogline: sent %d events: %s", len(letter.batch), answer)
        step = letter.next_step(
            attempt,
            answer,
            max_retries=settings.max_retries,
            chance=random(),  # noqa: S311 - jitter is no secret
            now=datetime.now(UTC),
        )
        if isinstance(step, Partly):
            _settle_judged(lane, letter, step, answer)
            letter = letter.part(step.again)
            if step.then is None:
                return
            step = step.then
        match step:
            case Accepted():
                lane.settle(letter.batch)
                return
            case Refused(reason):
                lane.give_up(letter.batch, reason, answer, request_id=letter.request_id)
                return
            case Split():
                middle, count = len(letter.batch) // 2, len(letter.batch)
                # Two new requests: neither is the old one tried again.
                deliver(lane, letter.batch[:middle], transport, deadline_s)
                deliver(lane, letter.batch[middle:count], transport, deadline_s)
                return
            case RetryAfter(seconds):
                lane.pause(seconds, answer, deadline_s)


def _timeout_s(settings: ClientSettings, deadline_s: float | None) -> float:
    """Return how long a request may take: on the thread of a caller who has a deadline, no longer than that."""
    if deadline_s is None:
        return settings.timeout
    return min(settings.timeout, max(_MIN_TIMEOUT_S, deadline_s - time.monotonic()))


def _settle_judged(lane: "Lane", letter: Letter, step: Partly, answer: Answer) -> None:
    """Settle what the server took, and give up what it never will."""
    judged = {*step.dropped, *step.again}
    lane.settle([event for place, event in enumerate(letter.batch) if place not in judged])
    if step.dropped:
        lane.give_up(
            [letter.batch[place] for place in step.dropped],
            REJECTED,
            answer,
            request_id=letter.request_id,
            details=letter.details(step.dropped, answer),
        )
