"""Ingestion warnings: events that were not processed as their client meant them.

Source: docs/internals/instance-protocol.md#merging-persons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hogline_instance.db import upsert, utc_now
from hogline_instance.people.tables import WarningRow

__all__ = [
    "ALREADY_IDENTIFIED", "GROUP_TYPES", "ILLEGAL_ID", "KEPT_PER_PROJECT", "PERSONLESS_IDENTITY", "TOO_LARGE",
    "IngestionWarning", "recent_warnings", "save_warnings",
]  # fmt: skip

ILLEGAL_ID = "cannot_merge_with_illegal_distinct_id"
ALREADY_IDENTIFIED = "cannot_merge_already_identified"
PERSONLESS_IDENTITY = "invalid_event_when_process_person_profile_is_false"
GROUP_TYPES = "group_type_limit_exceeded"
TOO_LARGE = "person_properties_size_violation"
KEPT_PER_PROJECT = 10_000
_MAX_CHARACTERS = 400
# A client that causes more than this in one batch makes the same mistake again and again.
_MAX_PER_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class IngestionWarning:
    """One warning about one event; *details* have PostHog's names."""

    team_id: int
    type: str
    event_uuid: str
    details: dict[str, Any]


def save_warnings(session: Session, warnings: Sequence[IngestionWarning]) -> None:
    """Write *warnings*; one that is known already is not written again."""
    rows = [
        {
            "team_id": each.team_id,
            "type": each.type,
            "event_uuid": each.event_uuid,
            "details": {name: _short(value) for name, value in each.details.items()},
            "created_at": utc_now(),
        }
        for each in warnings[:_MAX_PER_BATCH]
    ]
    if rows:
        statement = upsert(session, WarningRow)
        session.execute(statement.on_conflict_do_nothing(index_elements=["team_id", "event_uuid", "type"]), rows)


def _short(value: Any) -> Any:
    return value[:_MAX_CHARACTERS].replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def recent_warnings(
    session: Session, project_id: int, *, limit: int = 100
) -> tuple[list[tuple[str, int]], list[WarningRow]]:
    """Return how many warnings of each type are kept, the most frequent first, and the newest ones."""
    mine = WarningRow.team_id == project_id
    counted = select(WarningRow.type, func.count()).where(mine).group_by(WarningRow.type).order_by(func.count().desc())
    newest = select(WarningRow).where(mine).order_by(WarningRow.id.desc()).limit(limit)
    rows = list(session.scalars(newest))
    session.expunge_all()
    return [(kind, count) for kind, count in session.execute(counted)], rows
