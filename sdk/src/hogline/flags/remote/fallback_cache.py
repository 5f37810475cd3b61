"""The fallback cache: the server's last answer about each person.

It is used when the server cannot be reached.

It is in memory, or in Redis for all hosts. Nothing here raises: a cache that fails counts as empty.
"""

import time
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import orjson

from hogline.guard import guard
from hogline.log_throttle import ThrottledLog
from hogline.wire.flags import RemoteFlag, read_answer

__all__ = ["FallbackCache"]

_TTL_S = 3600
_SIZE = 10_000


class _Store(Protocol):
    def put(self, person: str, records: Mapping[str, bytes]) -> None:
        """Keep *records*, by flag, beside those that are known of *person* already."""

    def get(self, person: str) -> Mapping[str, bytes]:
        """Return the records of *person*."""


class FallbackCache:
    """Answers of one project, by person and flag.

    *url* is `memory://?ttl=...&size=...` or a Redis URL with `?ttl=...`.
    """

    def __init__(self, url: str, *, namespace: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        options = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        self._ttl_s = options.get("ttl", _TTL_S)
        self._throttled = ThrottledLog()
        self._store: _Store
        if parts.scheme == "memory":
            self._store = _Memory(options.get("size", _SIZE))
        else:
            self._store = _Redis(parts._replace(query="").geturl(), f"hogline:{namespace}:", timeout_s, self._ttl_s)

    def remember(self, person: str, flags: Mapping[str, RemoteFlag]) -> None:
        """Keep the server's answer, without the flags that it failed to evaluate."""
        now_s = time.time()
        with guard("flag_fallback_cache_url", self._warn):
            kept = {
                key: orjson.dumps([now_s, flag]) for key, flag in flags.items() if not (flag.failed or flag.malformed)
            }
            if kept:
                self._store.put(person, kept)

    def recall(self, person: str) -> dict[str, RemoteFlag]:
        """Return the server's answers that are no older than `ttl`."""
        since_s = time.time() - self._ttl_s
        # Records that another version of Hogline wrote may fail, too.
        with guard("flag_fallback_cache_url", self._warn):
            kept = {key: orjson.loads(body) for key, body in self._store.get(person).items()}
            records = {key: record for key, (at_s, record) in kept.items() if at_s >= since_s}
            return dict(read_answer(orjson.dumps({"flags": records})).flags)
        return {}

    def _warn(self, what: str, error: Exception) -> None:
        self._throttled.warning(what, "flag fallback cache unavailable: %r", error)


class _Memory:
    """A dict of at most *size* persons; the one not written for longest is dropped first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[str, dict[str, bytes]] = {}

    def put(self, person: str, records: Mapping[str, bytes]) -> None:
        """Keep *records*."""
        self._kept[person] = {**self._kept.pop(person, {}), **records}
        while len(self._kept) > self._size:
            try:
                self._kept.pop(next(iter(self._kept)), None)
            except (RuntimeError, StopIteration):
                # Another thread changed the dict at the same moment.
                continue

    def get(self, person: str) -> Mapping[str, bytes]:
        """Return the records of *person*."""
        return self._kept.get(person) or {}


class _Redis:
    """A hash for each person, which expires. Each step takes at most *timeout_s*."""

    def __init__(self, url: str, prefix: str, timeout_s: float, ttl_s: int) -> None:
        self._url = url
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._ttl_s = ttl_s
        self._made: Any = None

    def put(self, person: str, records: Mapping[str, bytes]) -> None:
        """Keep *records*."""
        steps = self._client().pipeline(transaction=False)
        steps.hset(self._prefix + person, mapping=records)
        steps.expire(self._prefix + person, self._ttl_s)
        steps.execute()

    def get(self, person: str) -> Mapping[str, bytes]:
        """Return the records of *person*."""
        return {key.decode(): body for key, body in self._client().hgetall(self._prefix + person).items()}

    def _client(self) -> Any:
        if self._made is None:
            import redis

            self._made = redis.Redis.from_url(
                self._url, socket_timeout=self._timeout_s, socket_connect_timeout=self._timeout_s
            )
        return self._made
