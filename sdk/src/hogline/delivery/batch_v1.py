"""The letter of capture v1: one answer for each event, and only what the server wants again is sent again.

Imported with `capture_mode="v1"` only.  Source: docs/internals/capture-protocol.md#capture-v1.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson

from hogline.delivery.ledger import REJECTED, TOO_LARGE, UNREADABLE_ANSWER
from hogline.delivery.retry import Accepted, Answer, Partly, Refused, Split, Step, later
from hogline.delivery.upload import AGENT, Request
from hogline.event import new_stamp
from hogline.settings import ClientSettings
from hogline.wire.batch import compress
from hogline.wire.capture_v1 import PATH_V1, Outcome, encode_v1, event_v1, headers_v1, outcomes

__all__ = ["LetterV1", "letters_v1", "next_step_v1"]

_RETRYABLE = frozenset({404, 408, 429, 500, 502, 503, 504})
_ANSWER_BYTES = 64 * 1024  # and so many more for each event:
_ANSWER_BYTES_PER_EVENT = 512


class LetterV1:
    """A batch as one v1 request, whose id and time of creation stay the same however often it is tried."""

    def __init__(self, batch: list[bytes], ids: list[str], forms: list[bytes], settings: ClientSettings) -> None:
        self.batch = batch
        self._ids = ids
        self._forms = forms
        self._settings = settings
        self._body: bytes | None = None
        self._encoding = _encoding(settings)
        self.request_id: str
        self.request_id, self._created_at = new_stamp()

    def request(self, attempt: int, now: datetime) -> Request:
        """Return request number *attempt*; the body is the same in each, the time in the headers is *now*."""
        if self._body is None:
            plain = encode_v1(self._forms, self._created_at, historical_migration=self._settings.historical_migration)
            try:
                self._body = compress(plain, self._encoding) if self._encoding is not None else plain
            except (LookupError, ValueError):  # a missing or broken compressor is no reason to lose events
                self._body, self._encoding = plain, None
        headers = headers_v1(
            project_token=self._settings.project_token,
            agent=AGENT,
            request_id=self.request_id,
            attempt=attempt,
            timestamp=now.isoformat(),
            encoding=self._encoding,
        )
        return Request(PATH_V1, self._body, headers, _ANSWER_BYTES + len(self.batch) * _ANSWER_BYTES_PER_EVENT)

    def next_step(self, attempt: int, answer: Answer, *, max_retries: int, chance: float, now: datetime) -> Step:
        """Say what to do after *answer*."""
        said = outcomes(answer.body, self._ids)
        return next_step_v1(
            attempt, answer, said, max_retries=max_retries, chance=chance, now=now, events=len(self.batch)
        )

    def part(self, places: Sequence[int]) -> "LetterV1":
        """Return the same request with some of its events only."""
        part = LetterV1(
            [self.batch[place] for place in places],
            [self._ids[place] for place in places],
            [self._forms[place] for place in places],
            self._settings,
        )
        part.request_id, part._created_at = self.request_id, self._created_at
        return part

    def details(self, places: Sequence[int], answer: Answer) -> tuple[str, ...]:
        """Return why the server dropped each of the events at *places*."""
        said = outcomes(answer.body, self._ids) or []
        return tuple(said[place].details for place in places)


def letters_v1(batch: list[bytes], settings: ClientSettings) -> Iterator[LetterV1]:
    """Yield *batch* as letters: one, unless ids occur twice, which the server refuses within one request."""
    rest = [(event, orjson.loads(event)) for event in batch]
    while rest:
        seen: set[str] = set()
        now: list[tuple[bytes, dict[str, Any]]] = []
        again: list[tuple[bytes, dict[str, Any]]] = []
        for event, fields in rest:
            (again if fields.get("uuid") in seen else now).append((event, fields))
            seen.add(fields.get("uuid"))
        yield LetterV1(
            [event for event, _ in now],
            [str(fields.get("uuid")) for _, fields in now],
            [orjson.dumps(event_v1(fields)) for _, fields in now],
            settings,
        )
        rest = again


def next_step_v1(
    attempt: int,
    answer: Answer,
    said: Sequence[Outcome] | None,
    *,
    events: int,
    max_retries: int,
    chance: float,
    now: datetime,
) -> Step:
    """Say what to do with a batch of *events* after request number *attempt*, when the server *said* this of each event.

    A 2xx whose body says nothing of events is final: asking again could go on for ever.
    """
    status = answer.status
    if status is None or status in _RETRYABLE:
        return later(attempt, answer, max_retries, chance, now)
    if status == 413:
        return Split() if events > 1 else Refused(TOO_LARGE)
    if not 200 <= status < 300:
        return Refused(REJECTED)
    if said is None:
        return Refused(UNREADABLE_ANSWER)
    dropped = tuple(place for place, outcome in enumerate(said) if outcome.result == "drop")
    again = tuple(place for place, outcome in enumerate(said) if outcome.result == "retry")
    if not dropped and not again:
        return Accepted()
    return Partly(dropped, again, later(attempt, answer, max_retries, chance, now) if again else None)


def _encoding(settings: ClientSettings) -> str | None:
    chosen = settings.capture_compression or ("gzip" if settings.gzip else "none")
    return None if chosen == "none" else chosen
