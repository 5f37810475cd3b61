"""Spikes: an issue that occurs far more often than it did in the last hour.

The decision is pure. Source: docs/internals/instance-protocol.md#error-rules-and-spikes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.errors.config import SPIKES, config_of
from hogline_instance.errors.history import note
from hogline_instance.errors.intake import aware
from hogline_instance.errors.tables import FingerprintRow, IssueRow

__all__ = ["BUCKETS", "BUCKET_MINUTES", "is_spike", "note_spikes"]

BUCKETS, BUCKET_MINUTES = 12, 5
_MAX_VALUES = 10_000


def is_spike(counts: Sequence[int], usual: float, config: Mapping[str, Any]) -> tuple[bool, float]:
    """Return whether the last of *counts* is a spike, and the baseline.

    The baseline is the mean of the earlier buckets that are not empty, else *usual*, the project's
    mean for an issue.
    """
    earlier = [count for count in counts[:-1] if count]
    baseline = sum(earlier) / len(earlier) if earlier else usual
    return counts[-1] >= config["threshold"] and counts[-1] > baseline * config["multiplier"], baseline


def note_spikes(session: Session, project_id: int, by_fingerprint: Mapping[str, Sequence[int]], now: datetime) -> int:
    """Note the spikes of a project in the history of their issues; return how many."""
    config = config_of(session, SPIKES, project_id)
    if max((counts[-1] for counts in by_fingerprint.values()), default=0) == 0:
        return 0
    issues = _by_issue(session, project_id, by_fingerprint)
    usual = sum(sum(counts) for counts in issues.values()) / max(len(issues), 1) / BUCKETS
    found = {issue: verdict[1] for issue, counts in issues.items() if (verdict := is_spike(counts, usual, config))[0]}
    if not found:
        return 0
    rows = session.scalars(
        select(IssueRow).where(IssueRow.team_id == project_id, IssueRow.id.in_(found)).with_for_update()
    )
    entries: list[tuple[int, str, str, Mapping[str, Any]]] = []
    for row in rows:
        if row.status == "suppressed" or (row.snoozed_until is not None and aware(row.snoozed_until) > now):
            continue
        row.snoozed_until = now + timedelta(minutes=config["snooze_duration_minutes"])
        detail = {"count": issues[row.id][-1], "baseline": round(found[row.id], 2)}
        entries.append((project_id, row.id, "spiking", detail))
    note(session, entries)
    return len(entries)


def _by_issue(session: Session, project_id: int, by_fingerprint: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    texts = sorted(by_fingerprint)
    for start in range(0, len(texts), _MAX_VALUES):
        query = select(FingerprintRow.fingerprint, FingerprintRow.issue_id).where(
            FingerprintRow.team_id == project_id, FingerprintRow.fingerprint.in_(texts[start : start + _MAX_VALUES])
        )
        for fingerprint, issue in session.execute(query):
            counts = found.setdefault(issue, [0] * BUCKETS)
            for place, count in enumerate(by_fingerprint[fingerprint]):
                counts[place] += count
    return found
