"""Spikes: an issue that occurs far more often than it did in the last hour.

The decision is pure. Source: docs/internals/instance-protocol.md#error-rules-and-spikes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.db import aware
from hogline_instance.errors.config import SPIKES, config_of
from hogline_instance.errors.history import note
from hogline_instance.errors.occasions import SPIKING, IssueOccasion
from hogline_instance.errors.tables import FingerprintRow, IssueRow
from hogline_instance.events.event import StoredEvent

__all__ = ["BUCKETS", "BUCKET_MINUTES", "Spike", "find_spikes", "is_spike", "note_spikes"]

BUCKETS, BUCKET_MINUTES = 12, 5
_MAX_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class Spike:
    """A spike of an issue: its last count, its baseline, and its most frequent fingerprint."""

    count: int
    baseline: float
    fingerprint: str


def is_spike(counts: Sequence[int], usual: float, config: Mapping[str, Any]) -> tuple[bool, float]:
    """Return whether the last of *counts* is a spike, and the baseline.

    The baseline is the mean of the earlier buckets that are not empty, else *usual*, the project's
    mean for an issue.
    """
    earlier = [count for count in counts[:-1] if count]
    baseline = sum(earlier) / len(earlier) if earlier else usual
    return counts[-1] >= config["threshold"] and counts[-1] > baseline * config["multiplier"], baseline


def find_spikes(session: Session, project_id: int, by_fingerprint: Mapping[str, Sequence[int]]) -> dict[str, Spike]:
    """Return the spiking issues of a project, by id."""
    config = config_of(session, SPIKES, project_id)
    if max((counts[-1] for counts in by_fingerprint.values()), default=0) == 0:
        return {}
    issues, loudest = _by_issue(session, project_id, by_fingerprint)
    usual = sum(sum(counts) for counts in issues.values()) / max(len(issues), 1) / BUCKETS
    return {
        issue: Spike(counts[-1], round(verdict[1], 2), loudest[issue])
        for issue, counts in issues.items()
        if (verdict := is_spike(counts, usual, config))[0]
    }


def note_spikes(
    session: Session,
    project_id: int,
    spikes: Mapping[str, Spike],
    now: datetime,
    events: Mapping[str, StoredEvent] | None = None,
) -> list[IssueOccasion]:
    """Note *spikes* in the history of their issues, and return them without the snoozed and suppressed.

    *events* are recent events by fingerprint.
    """
    snooze = timedelta(minutes=config_of(session, SPIKES, project_id)["snooze_duration_minutes"])
    rows = session.scalars(
        select(IssueRow).where(IssueRow.team_id == project_id, IssueRow.id.in_(spikes)).with_for_update()
    )
    entries: list[tuple[int, str, str, Mapping[str, Any]]] = []
    occasions = []
    for row in rows:
        if row.status == "suppressed" or (row.snoozed_until is not None and aware(row.snoozed_until) > now):
            continue
        row.snoozed_until = now + snooze
        spike = spikes[row.id]
        entries.append((project_id, row.id, "spiking", {"count": spike.count, "baseline": spike.baseline}))
        event = (events or {}).get(spike.fingerprint)
        occasions.append(
            IssueOccasion(
                kind=SPIKING, key=f"spiking:{row.id}:{now:%Y%m%dT%H%M%S}", project_id=project_id, issue_id=row.id,
                name=row.name, description=row.description, severity=row.severity, status=row.status,
                assignee=row.assignee_id, at=now, event_uuid=event.uuid if event else "",
                properties=event.properties if event else {}, count=spike.count, baseline=spike.baseline,
            )
        )  # fmt: skip
    note(session, entries)
    return occasions


def _by_issue(
    session: Session, project_id: int, by_fingerprint: Mapping[str, Sequence[int]]
) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Return the counts of each issue, and its most frequent fingerprint now."""
    found: dict[str, list[int]] = {}
    loudest: dict[str, str] = {}
    texts = sorted(by_fingerprint)
    for start in range(0, len(texts), _MAX_VALUES):
        query = select(FingerprintRow.fingerprint, FingerprintRow.issue_id).where(
            FingerprintRow.team_id == project_id, FingerprintRow.fingerprint.in_(texts[start : start + _MAX_VALUES])
        )
        for fingerprint, issue in session.execute(query):
            counts = found.setdefault(issue, [0] * BUCKETS)
            for place, count in enumerate(by_fingerprint[fingerprint]):
                counts[place] += count
            if issue not in loudest or by_fingerprint[fingerprint][-1] > by_fingerprint[loudest[issue]][-1]:
                loudest[issue] = fingerprint
    return found, loudest
