"""The messages of alerts in SQL: choose the next one, and record what became of it.

A message is chosen and given its id in one transaction, before it is sent. So an attempt that a
crash interrupted is repeated under the same id: messages are sent at least once.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, delete, func, or_, select, update
from sqlalchemy.orm import Session

from hogline_instance.alerts.channels import Outcome
from hogline_instance.alerts.message import MAX_LISTED
from hogline_instance.alerts.scheduling import next_retry, occasions_of_next_message
from hogline_instance.alerts.tables import CANCELLED, FAILED, SENT, TEST, WAITING, AlertRow, DeliveryRow
from hogline_instance.db import aware
from hogline_instance.settings import Settings

__all__ = ["Begun", "begin_message", "cancel_waiting", "due_alerts", "record_outcome", "release", "send_again"]

_MAX_DUE = 100


@dataclass(frozen=True, slots=True)
class Begun:
    """A message to be sent now: its alert, and the first of its occasions."""

    id: str
    alert: AlertRow
    deliveries: Sequence[DeliveryRow]
    total: int


def due_alerts(session: Session, *, claimed_by: str, now: datetime) -> list[int]:
    """Return the ids of the alerts that have something to send, and that no other process claimed."""
    query = (
        select(AlertRow.id)
        .where(AlertRow.enabled, _claimable(claimed_by, now))
        .where(AlertRow.id.in_(select(DeliveryRow.alert_id).where(_is_waiting(), DeliveryRow.next_attempt_at <= now)))
        .order_by(AlertRow.id)
        .limit(_MAX_DUE)
    )
    return list(session.scalars(query))


def begin_message(session: Session, alert_id: int, *, claimed_by: str, now: datetime, lease: timedelta) -> Begun | None:
    """Claim the alert until *now* + *lease*, and return its next message.

    Returns None when nothing is to be sent now. A message that failed before is sent before any
    new one.
    """
    claim = update(AlertRow).where(AlertRow.id == alert_id, AlertRow.enabled, _claimable(claimed_by, now))
    result: CursorResult[Any] = session.execute(
        claim.values(claimed_by=claimed_by, claimed_until=now + lease), execution_options={"synchronize_session": False}
    )  # type: ignore[assignment]
    alert = session.get(AlertRow, alert_id) if result.rowcount else None
    if alert is None:
        return None
    interrupted = session.scalar(_waiting(alert_id, begun=True).order_by(DeliveryRow.id).limit(1))
    if interrupted is None:
        return _new_message(session, alert, now)
    if aware(interrupted.next_attempt_at) > now:
        _postpone(session, alert_id, aware(interrupted.next_attempt_at))
        return None
    return _begun(session, alert, str(interrupted.message_id))


def _new_message(session: Session, alert: AlertRow, now: datetime) -> Begun | None:
    window = timedelta(minutes=alert.digest_minutes)
    begun_at = session.scalars(
        select(func.min(DeliveryRow.begun_at))
        .where(DeliveryRow.alert_id == alert.id, DeliveryRow.kind != TEST, DeliveryRow.begun_at > now - window)
        .group_by(DeliveryRow.message_id)
    ).all()
    waiting = session.scalar(select(func.count()).select_from(_waiting(alert.id, begun=False).subquery())) or 0
    many = occasions_of_next_message(waiting=waiting, sent=len(begun_at), most=alert.digest_after)
    if not many:
        if waiting:
            _postpone(session, alert.id, min(aware(each) for each in begun_at if each is not None) + window)
        return None
    ids = _waiting(alert.id, begun=False).with_only_columns(DeliveryRow.id).order_by(DeliveryRow.id).limit(many)
    message_id = str(uuid.uuid4())
    chosen = update(DeliveryRow).where(DeliveryRow.id.in_(ids.subquery().select()))
    session.execute(
        chosen.values(message_id=message_id, begun_at=now), execution_options={"synchronize_session": False}
    )
    begun = _begun(session, alert, message_id)
    if alert.omitted:
        first = begun.deliveries[0]
        first.detail = {**first.detail, "omitted": alert.omitted}
        alert.omitted = 0
    return begun


def _begun(session: Session, alert: AlertRow, message_id: str) -> Begun:
    of_message = select(DeliveryRow).where(DeliveryRow.message_id == message_id, _is_waiting())
    listed = session.scalars(of_message.order_by(DeliveryRow.id).limit(MAX_LISTED)).all()
    total = session.scalar(select(func.count()).select_from(of_message.subquery())) or 0
    return Begun(message_id, alert, listed, total)


def record_outcome(session: Session, message_id: str, outcome: Outcome, *, now: datetime, settings: Settings) -> bool:
    """Write what became of a message into its rows; return whether it is given up."""
    first = session.scalar(select(DeliveryRow).where(DeliveryRow.message_id == message_id, _is_waiting()).limit(1))
    if first is None:  # the alert was paused or deleted meanwhile
        return False
    attempts = first.attempts + 1
    values: dict[str, Any] = {"attempts": attempts, "answer": outcome.answer}
    is_given_up = not outcome.accepted and not (outcome.may_retry and attempts < settings.alert_max_attempts)
    if outcome.accepted or is_given_up:
        values |= {"status": SENT if outcome.accepted else FAILED, "finished_at": now}
    else:
        values["next_attempt_at"] = next_retry(
            now, attempts=attempts, first_s=settings.alert_first_retry_s, longest_s=settings.alert_longest_retry_s,
            wanted_s=outcome.retry_after_s,
        )  # fmt: skip
    rows = update(DeliveryRow).where(DeliveryRow.message_id == message_id, _is_waiting())
    session.execute(rows.values(**values), execution_options={"synchronize_session": False})
    shorten_log(session, first.alert_id, settings.alert_log_max_deliveries)
    return is_given_up


def shorten_log(session: Session, alert_id: int, most: int) -> None:
    """Delete the oldest finished deliveries of an alert, so that *most* remain."""
    finished = select(DeliveryRow.id).where(DeliveryRow.alert_id == alert_id, DeliveryRow.status != WAITING)
    oldest = session.scalar(finished.order_by(DeliveryRow.id.desc()).offset(most).limit(1))
    if oldest is not None:
        old = delete(DeliveryRow).where(DeliveryRow.alert_id == alert_id, DeliveryRow.status != WAITING)
        session.execute(old.where(DeliveryRow.id <= oldest), execution_options={"synchronize_session": False})


def release(session: Session, alert_id: int, *, claimed_by: str) -> None:
    """Let any process send the alert's next message."""
    claim = update(AlertRow).where(AlertRow.id == alert_id, AlertRow.claimed_by == claimed_by)
    session.execute(claim.values(claimed_by=None, claimed_until=None), execution_options={"synchronize_session": False})


def cancel_waiting(session: Session, alert_id: int, reason: str, *, now: datetime) -> None:
    """Give up everything that waits for an alert."""
    waiting = update(DeliveryRow).where(DeliveryRow.alert_id == alert_id, _is_waiting())
    session.execute(
        waiting.values(status=CANCELLED, answer=reason, finished_at=now),
        execution_options={"synchronize_session": False},
    )


def send_again(session: Session, delivery: DeliveryRow, *, now: datetime) -> None:
    """Let the whole message of a finished delivery be sent again, under its id."""
    rows = update(DeliveryRow).where(DeliveryRow.alert_id == delivery.alert_id, DeliveryRow.status != WAITING)
    rows = rows.where(
        DeliveryRow.message_id == delivery.message_id if delivery.message_id else DeliveryRow.id == delivery.id
    )
    session.execute(
        rows.values(status=WAITING, attempts=0, next_attempt_at=now, finished_at=None),
        execution_options={"synchronize_session": False},
    )


def _postpone(session: Session, alert_id: int, until: datetime) -> None:
    """Let new occasions wait, so that nobody looks for them in vain."""
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.alert_id == alert_id, _is_waiting(), DeliveryRow.message_id.is_(None))
        .values(next_attempt_at=until),
        execution_options={"synchronize_session": False},
    )


def _waiting(alert_id: int, *, begun: bool) -> Any:
    is_begun = DeliveryRow.message_id.is_not(None) if begun else DeliveryRow.message_id.is_(None)
    return select(DeliveryRow).where(DeliveryRow.alert_id == alert_id, _is_waiting(), is_begun)


def _is_waiting() -> ColumnElement[bool]:
    return DeliveryRow.status == WAITING


def _claimable(claimed_by: str, now: datetime) -> ColumnElement[bool]:
    # A process may claim again what it claimed itself: before a crash, since it sends one alert's
    # messages one after the other.
    return or_(AlertRow.claimed_until.is_(None), AlertRow.claimed_until < now, AlertRow.claimed_by == claimed_by)
