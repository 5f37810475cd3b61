"""Record occasions for the alerts that are about them, in the transaction that makes the occasions.

The unique key of alert and occasion keeps one row, however often a batch is processed.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from hogline_instance.alerts.filters import facts_of, matches
from hogline_instance.alerts.tables import WAITING, AlertRow, DeliveryRow
from hogline_instance.db import storable_text, upsert, utc_now
from hogline_instance.errors import IssueOccasion, OnOccasions
from hogline_instance.people import iso
from hogline_instance.settings import Settings

__all__ = ["recorder"]

_MAX_TEXT = 300


def recorder(settings: Settings) -> OnOccasions:
    """Return the function that records occasions."""
    return lambda session, occasions: record(session, occasions, max_waiting=settings.alert_max_waiting)


def record(session: Session, occasions: Sequence[IssueOccasion], *, max_waiting: int) -> None:
    """Add a row for each occasion and each alert that is about it.

    At most *max_waiting* rows of an alert wait; the others are counted in its `omitted`.
    """
    projects = {each.project_id for each in occasions}
    enabled = select(AlertRow).where(AlertRow.team_id.in_(projects), AlertRow.enabled)
    alerts = session.scalars(enabled.order_by(AlertRow.id)).all()
    if not alerts:
        return
    rooms = _rooms(session, [alert.id for alert in alerts], max_waiting)
    known = [(each, facts_of(each)) for each in occasions]
    rows: list[dict[str, Any]] = []
    omitted: list[dict[str, int]] = []
    for alert in alerts:
        wanted = [
            (each, facts)
            for each, facts in known
            if each.project_id == alert.team_id and matches(alert.triggers, alert.filters, each, facts)
        ]
        room = rooms[alert.id]
        rows += [_row(alert.id, each, facts) for each, facts in wanted[:room]]
        if len(wanted) > room:
            omitted.append({"alert": alert.id, "many": len(wanted) - room})
    if rows:
        statement = upsert(session, DeliveryRow).on_conflict_do_nothing(index_elements=["alert_id", "occasion"])
        session.execute(statement, rows)
    if omitted:
        table = AlertRow.__table__
        counted = update(table).where(table.c.id == bindparam("alert"))  # type: ignore[arg-type]
        session.connection().execute(counted.values(omitted=table.c.omitted + bindparam("many")), omitted)


def _rooms(session: Session, ids: Sequence[int], max_waiting: int) -> dict[int, int]:
    """Return for how many more occasions each alert has room."""
    counts = (
        select(DeliveryRow.alert_id, func.count())
        .where(DeliveryRow.alert_id.in_(ids), DeliveryRow.status == WAITING)
        .group_by(DeliveryRow.alert_id)
    )
    waiting = {alert_id: int(many) for alert_id, many in session.execute(counts)}
    return {each: max(max_waiting - waiting.get(each, 0), 0) for each in ids}


def _row(alert_id: int, occasion: IssueOccasion, facts: dict[str, Any]) -> dict[str, Any]:
    now = utc_now()
    return {
        "team_id": occasion.project_id, "alert_id": alert_id, "occasion": occasion.key, "kind": occasion.kind,
        "issue_id": occasion.issue_id, "detail": detail_of(occasion, facts), "status": WAITING, "attempts": 0,
        "next_attempt_at": now, "answer": "", "created_at": now,
    }  # fmt: skip


def detail_of(occasion: IssueOccasion, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a message: the issue as it is now, and facts of the event."""
    handled = facts.get("$exception_handled")
    return {
        "at": iso(occasion.at),
        "name": _text(occasion.name),
        "description": _text(occasion.description),
        "severity": occasion.severity,
        "status": occasion.status,
        "assignee": occasion.assignee,
        "event": occasion.event_uuid,
        "library": _text(facts.get("$lib")),
        "release": _text(facts.get("$release")),
        "environment": _text(facts.get("$environment")),
        "level": _text(facts.get("$exception_level")),
        "handled": handled if isinstance(handled, bool) else None,
        "count": occasion.count,
        "baseline": occasion.baseline,
    }


def _text(value: object) -> str:
    """Return *value* as short text that every SQL database keeps."""
    text = str(value) if isinstance(value, (str, int, float)) else ""
    return storable_text(text[:_MAX_TEXT], for_nul="\N{REPLACEMENT CHARACTER}")
