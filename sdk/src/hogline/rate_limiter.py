"""Limiter: so many exceptions of one kind, then so many in each interval. Knows no clock.

A bucket for each fingerprint, as posthog-python's and posthog-js's for each type. Full, it lets as many through as its size
says; theirs keep the last one back.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

__all__ = ["Limiter"]


@dataclass(slots=True)
class _Bucket:
    left: int
    filled_at_s: float
    suppressed: int = 0


class Limiter:
    """Buckets of *size*, into each of which *refill* drip every *interval_s* seconds; *max_buckets*, the latest used ones."""

    def __init__(self, *, size: int, refill: int, interval_s: float, max_buckets: int) -> None:
        self._size = size
        self._refill = refill
        self._interval_s = interval_s
        self._max_buckets = max_buckets
        self._begin()

    def _begin(self) -> None:
        # Lets its holder in again: a finalizer may fail, and be reported, while its own thread is counting.
        self._lock = threading.RLock()
        self._buckets: OrderedDict[int, _Bucket] = OrderedDict()
        self._pid = os.getpid()

    def take(self, key: Hashable, now_s: float) -> int | None:
        """Return how many of this kind were held back since the last that went through; None: this one is held back, too."""
        with self._own_lock():
            bucket = self._filled(key, now_s)
            if bucket.left <= 0:
                bucket.suppressed += 1
                return None
            bucket.left -= 1
            suppressed, bucket.suppressed = bucket.suppressed, 0
            return suppressed

    def has_room(self, key: Hashable, now_s: float) -> bool:
        """Tell whether `take` would let one through now."""
        with self._own_lock():
            return self._filled(key, now_s).left > 0

    def _own_lock(self) -> threading.RLock:
        if self._pid != os.getpid():  # forked: the parent's lock may be held for ever, and its counts are not ours
            self._begin()
        return self._lock

    def _filled(self, key: Hashable, now_s: float) -> _Bucket:
        place = hash(key)  # a number takes no room, whatever the key
        bucket = self._buckets.get(place)
        if bucket is None:
            bucket = self._buckets[place] = _Bucket(self._size, now_s)
            if len(self._buckets) > self._max_buckets:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(place)
        if self._interval_s <= 0:
            bucket.left = self._size
        elif (intervals := int((now_s - bucket.filled_at_s) / self._interval_s)) > 0:
            bucket.left = min(self._size, bucket.left + intervals * self._refill)
            bucket.filled_at_s += intervals * self._interval_s  # the rest of the time counts for the next one
        return bucket
