"""A token bucket for each kind of exception. The caller passes the time.

posthog-python and posthog-js keep a bucket for each type, this one keeps it for each fingerprint. A
full bucket lets through as many as its size; theirs let through one less.
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
    """Token buckets of *size*, at most *max_buckets* of them.

    Each is refilled with *refill* tokens every *interval_s* seconds.
    """

    def __init__(self, *, size: int, refill: int, interval_s: float, max_buckets: int) -> None:
        self._size = size
        self._refill = refill
        self._interval_s = interval_s
        self._max_buckets = max_buckets
        self._begin()

    def _begin(self) -> None:
        # Reentrant: a finalizer may raise, and be captured, while its own thread holds the lock.
        self._lock = threading.RLock()
        self._buckets: OrderedDict[int, _Bucket] = OrderedDict()
        self._pid = os.getpid()

    def take(self, key: Hashable, now_s: float) -> int | None:
        """Return how many of this kind were suppressed since the last one that passed.

        Returns None if this one is suppressed.
        """
        with self._own_lock():
            bucket = self._filled(key, now_s)
            if bucket.left <= 0:
                bucket.suppressed += 1
                return None
            bucket.left -= 1
            suppressed, bucket.suppressed = bucket.suppressed, 0
            return suppressed

    def has_room(self, key: Hashable, now_s: float) -> bool:
        """Return whether `take` would let one pass."""
        with self._own_lock():
            return self._filled(key, now_s).left > 0

    def _own_lock(self) -> threading.RLock:
        # After a fork, a thread of the parent may hold the lock, and its counts are not ours.
        if self._pid != os.getpid():
            self._begin()
        return self._lock

    def _filled(self, key: Hashable, now_s: float) -> _Bucket:
        place = hash(key)  # keys may be large, a hash is not
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
            # The remainder counts for the next refill.
            bucket.filled_at_s += intervals * self._interval_s
        return bucket
