"""Send the messages of alerts: those that are due in the background, and a test at once."""

import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hogline_instance.alerts.channels import CHANNELS, Outcome
from hogline_instance.alerts.message import MAX_LISTED, Message, Occasion, alert_url, example_message, issue_url
from hogline_instance.alerts.outbox import Begun, begin_message, due_alerts, record_outcome, release, shorten_log
from hogline_instance.alerts.tables import FAILED, SENT, TEST, AlertRow, DeliveryRow
from hogline_instance.db import utc_now
from hogline_instance.people import iso
from hogline_instance.services import Services
from hogline_instance.settings import Settings
from hogline_instance.web.errors import ApiError

__all__ = ["Deliverer", "attempt", "base_url", "send_test"]

_log = logging.getLogger("hogline.instance")
_WORKERS = 4
_TESTS_A_MINUTE = 5
_A_MINUTE = timedelta(minutes=1)
_MAX_MESSAGES = 20
"""The most messages of one alert that are sent in a row, so that others get their turn."""


class Deliverer:
    """Sends the due messages of all alerts; each alert's one after the other."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._claimed_by = services.journal.id  # unique to the data folder, which one process holds
        # A mail takes several answers of its server, and a hook may have several addresses.
        self._lease = timedelta(seconds=60 + 10 * services.settings.alert_timeout_s)

    def send_due(self) -> None:
        """Send the due messages of a few alerts at a time, so that slow receivers delay no other."""
        with self._services.database.session() as session:
            alerts = due_alerts(session, claimed_by=self._claimed_by, now=utc_now())
        if len(alerts) == 1:
            self._send_of(alerts[0])
        elif alerts:
            with ThreadPoolExecutor(min(len(alerts), _WORKERS), thread_name_prefix="hogline-alerts") as pool:
                for each in [pool.submit(self._send_of, alert) for alert in alerts]:
                    each.result()

    def _send_of(self, alert_id: int) -> None:
        database, settings = self._services.database, self._services.settings
        try:
            for _ in range(_MAX_MESSAGES):
                with database.transaction() as session:
                    begun = begin_message(
                        session, alert_id, claimed_by=self._claimed_by, now=utc_now(), lease=self._lease
                    )
                    message = _message(self._services, begun) if begun is not None else None
                    if begun is not None:
                        session.flush()
                        session.expunge(begun.alert)
                if begun is None or message is None:
                    return
                outcome = attempt(message, begun.alert, settings)
                with database.transaction() as session:
                    is_given_up = record_outcome(session, begun.id, outcome, now=utc_now(), settings=settings)
                if is_given_up:
                    _log.warning("alerts: a message of alert %d is given up: %s", alert_id, outcome.answer)
                elif not outcome.accepted:
                    return
        finally:
            with database.transaction() as session:
                release(session, alert_id, claimed_by=self._claimed_by)


def send_test(services: Services, alert: AlertRow) -> DeliveryRow:
    """Send an example message once, also when the alert is paused, and return its log entry.

    Raises ApiError: too many tests of this alert were sent within a minute.
    """
    with services.database.session() as session:
        _limit_tests(session, alert.id)
    project = services.projects.by_id(alert.team_id)
    now = utc_now()
    message = example_message(
        message_id=str(uuid.uuid4()), base_url=base_url(services), alert=(alert.id, alert.name), at=iso(now) or "",
        project=(alert.team_id, project.name if project is not None else ""),
    )  # fmt: skip
    outcome = attempt(message, alert, services.settings)
    row = DeliveryRow(
        team_id=alert.team_id, alert_id=alert.id, occasion=f"test:{message.id}", kind=TEST, issue_id="",
        detail=dict(message.occasions[0].detail), status=SENT if outcome.accepted else FAILED, message_id=message.id,
        attempts=1, next_attempt_at=now, begun_at=now, finished_at=utc_now(), answer=outcome.answer, created_at=now,
    )  # fmt: skip
    with services.database.transaction() as session:
        session.add(row)
        session.flush()
        shorten_log(session, alert.id, services.settings.alert_log_max_deliveries)
        session.expunge(row)
    return row


def _limit_tests(session: Session, alert_id: int) -> None:
    """Raise ApiError after some tests within a minute: a receiver must not be flooded by a button."""
    recent = select(func.count()).where(
        DeliveryRow.alert_id == alert_id, DeliveryRow.kind == TEST, DeliveryRow.created_at > utc_now() - _A_MINUTE
    )
    if (session.scalar(recent) or 0) >= _TESTS_A_MINUTE:
        raise ApiError(
            429, "throttled_error", "throttled", f"At most {_TESTS_A_MINUTE} tests of an alert are sent in a minute: wait one."
        )  # fmt: skip


def attempt(message: Message, alert: AlertRow, settings: Settings) -> Outcome:
    """Send a message once, and return what became of it, whatever happened."""
    try:
        return CHANNELS[alert.kind](message, alert, settings)
    except Exception as error:  # else the same message would be tried forever
        return Outcome(accepted=False, answer=f"the message could not be sent: {error!r}", may_retry=True)


def base_url(services: Services) -> str:
    """Return the URL that people reach the pages by."""
    if services.settings.public_url:
        return services.settings.public_url.rstrip("/")
    try:
        return (services.settings.data_dir / "url").read_text().strip()  # the command writes it at each start
    except OSError:
        return f"http://{services.settings.host}:{services.settings.port}"


def _message(services: Services, begun: Begun) -> Message:
    alert, base = begun.alert, base_url(services)
    project = services.projects.by_id(alert.team_id)
    omitted = sum(int(each.detail.get("omitted", 0)) for each in begun.deliveries)
    return Message(
        id=begun.id, alert_id=alert.id, alert_name=alert.name, alert_url=alert_url(base, alert.team_id, alert.id),
        project_id=alert.team_id, project_name=project.name if project is not None else "",
        occasions=tuple(
            Occasion(
                kind=each.kind, issue_id=each.issue_id, url=issue_url(base, alert.team_id, each.issue_id), detail=dict(each.detail),
            )
            for each in begun.deliveries[:MAX_LISTED]
        ),
        more=begun.total - len(begun.deliveries) + omitted,
    )  # fmt: skip
