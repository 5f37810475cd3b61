"""A batch for capture v1, which answers for each event.

Only the events that the response asks for are sent again.

Imported with `capture_mode="v1"` only.  Source: docs/internals/capture-protocol.md#capture-v1.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson

from hogline.delivery.batch import AGENT
from hogline.delivery.ledger import REJECTED, TOO_LARGE, UNREADABLE_ANSWER
from hogline.delivery.retry import Accepted, PartlyAccepted, Refused, RetryPolicy, Split, Step, later
from hogline.event import new_stamp
from hogline.settings import ClientSettings
from hogline.transports import UploadRequest, UploadResponse
from hogline.wire.batch import compress
from hogline.wire.capture_v1 import PATH_V1, Outcome, encode_v1, event_v1, headers_v1, outcomes

__all__ = ["BatchV1", "batches_v1", "next_step_v1"]

_RETRYABLE = frozenset({404, 408, 429, 500, 502, 503, 504})
_RESPONSE_BYTES = 64 * 1024  # and for each event:
_RESPONSE_BYTES_PER_EVENT = 512


class BatchV1:
    """Events as one v1 request, whose id and time of creation stay the same in every attempt."""

    def __init__(self, events: list[bytes], ids: list[str], forms: list[bytes], settings: ClientSettings) -> None:
        self.events = events
        self._ids = ids
        self._forms = forms
        self._settings = settings
        self._body: bytes | None = None
        self._encoding = _encoding(settings)
        self.request_id: str
        self.request_id, self._created_at = new_stamp()

    def request(self, attempt: int, now: datetime, timeout_s: float) -> UploadRequest:
        """Return request number *attempt*.

        The body is the same in each; the headers hold the time *now*.
        """
        if self._body is None:
            plain = encode_v1(self._forms, self._created_at, historical_migration=self._settings.historical_migration)
            try:
                self._body = compress(plain, self._encoding) if self._encoding is not None else plain
            except (LookupError, ValueError):
                # A missing or broken compressor is no reason to lose events.
                self._body, self._encoding = plain, None
        headers = headers_v1(
            project_token=self._settings.project_token,
            agent=AGENT,
            request_id=self.request_id,
            attempt=attempt,
            timestamp=now.isoformat(),
            encoding=self._encoding,
        )
        max_response_bytes = _RESPONSE_BYTES + len(self.events) * _RESPONSE_BYTES_PER_EVENT
        url = self._settings.host + PATH_V1
        return UploadRequest(url, headers, self._body, self.events, timeout_s, max_response_bytes)

    def next_step(
        self, attempt: int, response: UploadResponse, *, policy: RetryPolicy, chance: float, now: datetime
    ) -> Step:
        """Return what to do after *response*."""
        return next_step_v1(
            attempt,
            response,
            outcomes(response.body, self._ids),
            policy=policy,
            chance=chance,
            now=now,
            events=len(self.events),
        )

    def part(self, places: Sequence[int]) -> "BatchV1":
        """Return the same request with the events at *places* only."""
        part = BatchV1(
            [self.events[place] for place in places],
            [self._ids[place] for place in places],
            [self._forms[place] for place in places],
            self._settings,
        )
        part.request_id, part._created_at = self.request_id, self._created_at
        return part

    def details(self, places: Sequence[int], response: UploadResponse) -> tuple[str, ...]:
        """Return why the server dropped each event at *places*."""
        results = outcomes(response.body, self._ids) or []
        return tuple(results[place].details for place in places)


def batches_v1(events: list[bytes], settings: ClientSettings) -> Iterator[BatchV1]:
    """Yield *events* as one batch, or as several if ids occur twice.

    The server refuses that within one request.
    """
    rest = [(event, orjson.loads(event)) for event in events]
    while rest:
        seen: set[str] = set()
        batch: list[tuple[bytes, dict[str, Any]]] = []
        repeated: list[tuple[bytes, dict[str, Any]]] = []
        for event, fields in rest:
            (repeated if fields.get("uuid") in seen else batch).append((event, fields))
            seen.add(fields.get("uuid"))
        yield BatchV1(
            [event for event, _ in batch],
            [str(fields.get("uuid")) for _, fields in batch],
            [orjson.dumps(event_v1(fields)) for _, fields in batch],
            settings,
        )
        rest = repeated


def next_step_v1(
    attempt: int,
    response: UploadResponse,
    results: Sequence[Outcome] | None,
    *,
    events: int,
    policy: RetryPolicy,
    chance: float,
    now: datetime,
) -> Step:
    """Return what to do with a batch of *events* after request number *attempt*.

    *results* has one outcome for each event.

    A 2xx whose body names no events is final: a retry could go on for ever.
    """
    status = response.status
    if status is None or status in _RETRYABLE:
        return later(attempt, response, policy, chance, now)
    if status == 413:
        return Split() if events > 1 else Refused(TOO_LARGE)
    if not 200 <= status < 300:
        return Refused(REJECTED)
    if results is None:
        return Refused(UNREADABLE_ANSWER)
    dropped = tuple(place for place, outcome in enumerate(results) if outcome.result == "drop")
    retried = tuple(place for place, outcome in enumerate(results) if outcome.result == "retry")
    if not dropped and not retried:
        return Accepted()
    return PartlyAccepted(dropped, retried, later(attempt, response, policy, chance, now) if retried else None)


def _encoding(settings: ClientSettings) -> str | None:
    chosen = settings.capture_compression or ("gzip" if settings.gzip else "none")
    return None if chosen == "none" else chosen
