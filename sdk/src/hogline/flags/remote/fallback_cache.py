"""The fallback: what the server said last of somebody's flags, for when it is out of reach. In memory, or in Redis for all hosts.

Nothing here raises: a cache that fails is a cache that is empty.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import orjson

from hogline.wire.flags import RemoteFlag, read_answer

__all__ = ["Fallback"]

_log = logging.getLogger("hogline")
_LOG_EVERY_S = 60.0
_TTL_S = 3600
_SIZE = 10_000


class _Store(Protocol):
    def put(self, who: str, records: Mapping[str, bytes]) -> None:
        """Keep *records*, by flag, beside what is known of *who* already."""

    def get(self, who: str) -> Mapping[str, bytes]:
        """Return what is kept of *who*."""


class Fallback:
    """Answers of one project, by person and flag; *url* is `memory://?ttl=...&size=...` or a Redis URL with `?ttl=...`."""

    def __init__(self, url: str, *, namespace: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        told = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        self._ttl_s = told.get("ttl", _TTL_S)
        self._warned_at_s = -_LOG_EVERY_S
        self._store: _Store
        if parts.scheme == "memory":
            self._store = _Memory(told.get("size", _SIZE))
        else:
            self._store = _Redis(parts._replace(query="").geturl(), f"hogline:{namespace}:", timeout_s, self._ttl_s)

    def remember(self, who: str, flags: Mapping[str, RemoteFlag]) -> None:
        """Keep what the server said; not what it could not say."""
        now_s = time.time()
        try:
            kept = {
                key: orjson.dumps([now_s, flag]) for key, flag in flags.items() if not (flag.failed or flag.malformed)
            }
            if kept:
                self._store.put(who, kept)
        except Exception as error:
            self._warn(error)

    def recall(self, who: str) -> dict[str, RemoteFlag]:
        """Return what the server said, no longer ago than `ttl`."""
        since_s = time.time() - self._ttl_s
        try:
            kept = {key: orjson.loads(body) for key, body in self._store.get(who).items()}
            records = {key: record for key, (at_s, record) in kept.items() if at_s >= since_s}
            return dict(read_answer(orjson.dumps({"flags": records})).flags)
        except Exception as error:  # also what another version wrote
            self._warn(error)
            return {}

    def _warn(self, error: Exception) -> None:
        now_s = time.monotonic()
        if now_s - self._warned_at_s >= _LOG_EVERY_S:
            self._warned_at_s = now_s
            _log.warning("hogline: flag_fallback_cache_url is of no use at the moment: %r", error)


class _Memory:
    """Of at most *size* persons; who was heard of longest ago goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[str, dict[str, bytes]] = {}

    def put(self, who: str, records: Mapping[str, bytes]) -> None:
        """Keep *records*."""
        self._kept[who] = {**self._kept.pop(who, {}), **records}
        while len(self._kept) > self._size:
            try:
                self._kept.pop(next(iter(self._kept)), None)
            except (RuntimeError, StopIteration):  # another thread does so at the same moment
                continue

    def get(self, who: str) -> Mapping[str, bytes]:
        """Return what is kept."""
        return self._kept.get(who) or {}


class _Redis:
    """A hash for each person, with an end. Each step takes at most *timeout_s*."""

    def __init__(self, url: str, prefix: str, timeout_s: float, ttl_s: int) -> None:
        self._url = url
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._ttl_s = ttl_s
        self._made: Any = None

    def put(self, who: str, records: Mapping[str, bytes]) -> None:
        """Keep *records*."""
        steps = self._client().pipeline(transaction=False)
        steps.hset(self._prefix + who, mapping=records)
        steps.expire(self._prefix + who, self._ttl_s)
        steps.execute()

    def get(self, who: str) -> Mapping[str, bytes]:
        """Return what is kept."""
        return {key.decode(): body for key, body in self._client().hgetall(self._prefix + who).items()}

    def _client(self) -> Any:
        if self._made is None:
            import redis

            self._made = redis.Redis.from_url(
                self._url, socket_timeout=self._timeout_s, socket_connect_timeout=self._timeout_s
            )
        return self._made
