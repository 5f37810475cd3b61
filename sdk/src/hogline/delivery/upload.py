"""Upload one batch, retrying until it is accepted or dropped.

Imported when the first batch leaves.
"""

import logging
import time
from datetime import UTC, datetime
from random import random

from hogline.delivery.batch import Batch
from hogline.delivery.batch_v0 import BatchV0
from hogline.delivery.ledger import REJECTED
from hogline.delivery.queue import EventQueue
from hogline.delivery.retry import Accepted, PartlyAccepted, Refused, RetryAfter, RetryPolicy, Split
from hogline.settings import ClientSettings
from hogline.transports import Transport, UploadRequest, UploadResponse

__all__ = ["upload"]

_log = logging.getLogger("hogline")
_MIN_TIMEOUT_S = 0.001  # urllib3 refuses 0


def upload(queue: EventQueue, events: list[bytes], transport: Transport, deadline_s: float | None = None) -> None:
    """Send *events*, retrying until each is sent or dropped.

    Returns earlier if the queue puts off the rest, or if *deadline_s* has come.
    """
    settings = queue.settings
    batches: list[Batch]
    if settings.capture_mode == "v1":
        # Imported lazily: most programs never need it.
        from hogline.delivery.batch_v1 import batches_v1

        batches = [*batches_v1(events, settings)]
    else:
        batches = [BatchV0(events, settings, queue.path)]
    for batch in batches:
        _upload(queue, batch, transport, deadline_s)


def _upload(queue: EventQueue, batch: Batch, transport: Transport, deadline_s: float | None) -> None:
    settings = queue.settings
    policy = RetryPolicy(settings.max_retries, queue.first_backoff_s)
    attempt = 0
    while queue.may_send(deadline_s):
        attempt += 1
        request = batch.request(attempt, datetime.now(UTC), _timeout_s(settings, deadline_s))
        queue.is_asking = True
        response = _send(transport, request)
        if settings.debug:
            _log.info("hogline: sent %d events: %s", len(batch.events), response)
        step = batch.next_step(
            attempt,
            response,
            policy=policy,
            chance=random(),  # noqa: S311 - jitter is no secret
            now=datetime.now(UTC),
        )
        if isinstance(step, PartlyAccepted):
            _settle_parts(queue, batch, step, response)
            if step.then is None:
                return
            batch = batch.part(step.retried)
            step = step.then
        match step:
            case Accepted():
                queue.settle(batch.events)
                return
            case Refused(reason):
                queue.give_up(batch.events, reason, response, request_id=batch.request_id)
                return
            case Split():
                middle = len(batch.events) // 2
                # Two new requests: neither is a retry of the old one.
                upload(queue, batch.events[:middle], transport, deadline_s)
                upload(queue, batch.events[middle:], transport, deadline_s)
                return
            case RetryAfter(seconds):
                queue.pause(seconds, response, deadline_s)


def _send(transport: Transport, request: UploadRequest) -> UploadResponse:
    try:
        return transport.send(request)
    except Exception as error:
        # A transport is the user's code. A batch that it could not send is retried.
        return UploadResponse.failure(error)


def _timeout_s(settings: ClientSettings, deadline_s: float | None) -> float:
    """Return how long a request may take.

    On the thread of a caller with a deadline, it may take no longer than that.
    """
    if deadline_s is None:
        return settings.timeout
    return min(settings.timeout, max(_MIN_TIMEOUT_S, deadline_s - time.monotonic()))


def _settle_parts(queue: EventQueue, batch: Batch, step: PartlyAccepted, response: UploadResponse) -> None:
    """Settle the events that the server accepted, and give up those that it dropped."""
    others = {*step.dropped, *step.retried}
    queue.settle([event for place, event in enumerate(batch.events) if place not in others])
    if step.dropped:
        queue.give_up(
            [batch.events[place] for place in step.dropped],
            REJECTED,
            response,
            request_id=batch.request_id,
            details=batch.details(step.dropped, response),
        )
