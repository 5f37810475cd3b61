"""Count refused and changed events by reason, and log the counts from time to time."""

import logging
import threading
import time
from collections.abc import Mapping

__all__ = ["Refusals"]

_log = logging.getLogger("hogline.instance")
_LOG_EVERY_S = 10.0
_MAX_REASONS = 500
_MAX_TOKENS = 50
_TOKEN_CHARACTERS = 12
_OTHER_TOKENS = "other project tokens do not belong to this instance"
_OTHER_REASONS = "other reasons"


class Refusals:
    """Counts by reason, with a bounded number of reasons. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: dict[str, int] = {}
        self._mended: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        self._unlogged = 0
        self._logged_s = 0.0

    @property
    def refused(self) -> dict[str, int]:
        """Counts of events that were not kept, by reason."""
        with self._lock:
            return {**self._refused, **self._tokens}

    @property
    def mended(self) -> dict[str, int]:
        """Counts of changes to events that are kept, by kind of change."""
        with self._lock:
            return dict(self._mended)

    def refuse(self, reasons: Mapping[str, int]) -> None:
        """Count events that are not kept."""
        with self._lock:
            for reason, count in reasons.items():
                _add(self._refused, reason, count, _MAX_REASONS, _OTHER_REASONS)
        self._log_now_and_then("; ".join(reasons), sum(reasons.values()))

    def refuse_token(self, token: str, count: int) -> None:
        """Add *count* events whose project token belongs to no project.

        Clients choose these tokens, so they have their own limit and are shown escaped. The latest
        are shown: whoever looks for missing events has just sent some.
        """
        reason = f"project token {_shown(token)} does not belong to this instance"
        with self._lock:
            self._add_token(reason, count)
        self._log_now_and_then(reason, count)

    def mend(self, reasons: Mapping[str, int]) -> None:
        """Count changes of events that are kept."""
        with self._lock:
            for reason, count in reasons.items():
                _add(self._mended, reason, count, _MAX_REASONS, _OTHER_REASONS)

    def _add_token(self, reason: str, count: int) -> None:
        others = self._tokens.pop(_OTHER_TOKENS, 0)
        self._tokens[reason] = self._tokens.pop(reason, 0) + count
        while len(self._tokens) > _MAX_TOKENS:
            others += self._tokens.pop(next(iter(self._tokens)))
        if others:
            self._tokens[_OTHER_TOKENS] = others

    def _log_now_and_then(self, reasons: str, count: int) -> None:
        now_s = time.monotonic()
        with self._lock:
            self._unlogged += count
            if now_s - self._logged_s < _LOG_EVERY_S:
                return
            self._logged_s, unlogged, self._unlogged = now_s, self._unlogged, 0
        _log.warning("ingest: %d events not kept: %s", unlogged, reasons[:500])


def _add(counts: dict[str, int], reason: str, count: int, most: int, other: str) -> None:
    if reason not in counts and len(counts) >= most:
        reason = other
    counts[reason] = counts.get(reason, 0) + count


def _shown(token: str) -> str:
    """Return the start of *token* as ASCII without control characters."""
    start = ascii(token[:_TOKEN_CHARACTERS])[1:-1]
    return start if len(token) <= _TOKEN_CHARACTERS else f"{start}..."
