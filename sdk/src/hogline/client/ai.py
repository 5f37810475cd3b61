"""The client's own queue for `capture_ai()`.

AI events may be large, and they go to an endpoint of their own.

The queue is made with the first such event: most programs have none.
Source: docs/internals/capture-protocol.md#ai-events.
"""

import dataclasses
import os
from collections import Counter
from types import MappingProxyType

from hogline.delivery import Delivery, Ledger, Stats
from hogline.settings import ClientSettings
from hogline.wire.batch import AI_BATCH_PATH

__all__ = ["AiDelivery", "add_stats"]

_MAX_EVENT_BYTES = 8 * 1024 * 1024  # the server's limit for one AI event


class AiDelivery:
    """The delivery of one client's AI events.

    It always uses the protocol of `/batch/`, and capture v1's limits never split its batches.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self.max_event_bytes: int = max(settings.max_event_bytes, _MAX_EVENT_BYTES)
        own = dataclasses.replace(
            settings,
            capture_mode="v0",
            max_event_bytes=self.max_event_bytes,
            spool_dir=os.path.join(settings.spool_dir, "ai") if settings.spool_dir is not None else None,  # noqa: PTH118
        )
        self.ledger: Ledger = Ledger(on_drop=settings.on_drop, host=settings.host)
        self.delivery: Delivery = Delivery(own, ledger=self.ledger, transport=own.transport, path=AI_BATCH_PATH)


def add_stats(one: Stats, other: Stats) -> Stats:
    """Return the counts of both."""
    dropped = Counter(one.dropped)
    dropped.update(other.dropped)
    return Stats(
        accepted=one.accepted + other.accepted,
        sent=one.sent + other.sent,
        waiting=one.waiting + other.waiting,
        retried=one.retried + other.retried,
        batches=one.batches + other.batches,
        dropped=MappingProxyType(dict(dropped)),
        last_error=one.last_error or other.last_error,
        spooled=one.spooled + other.spooled,
        recovered=one.recovered + other.recovered,
        damaged_bytes=one.damaged_bytes + other.damaged_bytes,
    )
