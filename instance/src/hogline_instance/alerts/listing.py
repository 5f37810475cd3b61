"""Read alerts and the log of their deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hogline_instance.alerts.tables import FAILED, SENT, WAITING, AlertRow, DeliveryRow
from hogline_instance.db import aware
from hogline_instance.web.errors import not_found

__all__ = ["MAX_ID", "LogFilter", "State", "alerts_of", "found_delivery", "log_of", "states_of"]

MAX_ID = 2**31 - 1
"""The largest number that PostgreSQL's integer columns hold."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which deliveries to list; every part is optional."""

    alert_id: int | None = None
    issue_id: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """The deliveries that an alert has made, and those that wait."""

    waiting: int = 0
    sent: int = 0
    failed: int = 0
    last_sent_at: datetime | None = None


def alerts_of(session: Session, project_id: int) -> Sequence[AlertRow]:
    """Return the alerts of a project by name."""
    return session.scalars(
        select(AlertRow).where(AlertRow.team_id == project_id).order_by(func.lower(AlertRow.name), AlertRow.id)
    ).all()


def states_of(session: Session, project_id: int) -> dict[int, State]:
    """Return the state of each alert that has deliveries, from its log."""
    counted = (
        select(DeliveryRow.alert_id, DeliveryRow.status, func.count(), func.max(DeliveryRow.finished_at))
        .where(DeliveryRow.team_id == project_id)
        .group_by(DeliveryRow.alert_id, DeliveryRow.status)
    )
    counts: dict[int, dict[str, int]] = {}
    last_sent: dict[int, datetime] = {}
    for alert_id, status, many, finished_at in session.execute(counted):
        counts.setdefault(alert_id, {})[status] = many
        if status == SENT and finished_at is not None:
            last_sent[alert_id] = aware(finished_at)
    return {
        alert_id: State(own.get(WAITING, 0), own.get(SENT, 0), own.get(FAILED, 0), last_sent.get(alert_id))
        for alert_id, own in counts.items()
    }


def log_of(
    session: Session, project_id: int, wanted: LogFilter, *, limit: int, offset: int
) -> tuple[list[tuple[DeliveryRow, str]], bool]:
    """Return deliveries and the names of their alerts, newest first, and whether there are more."""
    if "\0" in wanted.issue_id or not 0 <= (wanted.alert_id or 0) <= MAX_ID:
        return [], False
    query = (
        select(DeliveryRow, AlertRow.name)
        .join(AlertRow, AlertRow.id == DeliveryRow.alert_id)
        .where(DeliveryRow.team_id == project_id)
        .order_by(DeliveryRow.id.desc())
    )
    if wanted.alert_id is not None:
        query = query.where(DeliveryRow.alert_id == wanted.alert_id)
    if wanted.issue_id:
        query = query.where(DeliveryRow.issue_id == wanted.issue_id)
    if wanted.status:
        query = query.where(DeliveryRow.status == wanted.status)
    rows = [(row, str(name)) for row, name in session.execute(query.offset(offset).limit(limit + 1))]
    return rows[:limit], len(rows) > limit


def found_delivery(session: Session, project_id: int, delivery_id: int) -> tuple[DeliveryRow, AlertRow]:
    """Return a delivery of the project with its alert. Raises ApiError: there is none."""
    query = (
        select(DeliveryRow, AlertRow)
        .join(AlertRow, AlertRow.id == DeliveryRow.alert_id)
        .where(DeliveryRow.team_id == project_id, DeliveryRow.id == delivery_id)
    )
    found = session.execute(query).one_or_none() if 0 < delivery_id <= MAX_ID else None
    if found is None:
        raise not_found("This project has no delivery with that id.")
    return found[0], found[1]
