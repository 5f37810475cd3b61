"""The pages of alerts: the list at `/alerts`, one alert at `/alerts/{id}`, the log at `/alerts/log`."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from hogline_instance.alerts.channels import HOOKS, MAIL
from hogline_instance.alerts.delivery import send_test
from hogline_instance.alerts.editing import change_alert, create_alert, found_alert, repeat_delivery, replace_secret
from hogline_instance.alerts.filters import ISSUE_PROPERTIES, TRIGGERS
from hogline_instance.alerts.form import FIELDS, given_filters, posted_alert, shown_filters
from hogline_instance.alerts.listing import LogFilter, State, alerts_of, log_of, states_of
from hogline_instance.alerts.records import shown_url
from hogline_instance.alerts.tables import STATUSES
from hogline_instance.definitions import EVENT, property_names
from hogline_instance.services import Services
from hogline_instance.web.bodies import Form
from hogline_instance.web.errors import ApiError
from hogline_instance.web.property_rows import OPERATORS
from hogline_instance.web.security import PAGE_HEADERS
from hogline_instance.web.site import Site

__all__ = ["build_router"]

_LOG_ROWS = 50
_KINDS = {"webhook": "Webhook", "slack": "Slack-shaped webhook", "mail": "Mail"}
_KIND_WORDS = {"created": "New issue", "reopened": "Regression", "spiking": "Spike", "test": "Test"}


def build_router(services: Services, site: Site) -> APIRouter:
    """Return the pages and their actions."""
    pages = _AlertPages(services, site)
    return site.router(
        ("GET", "/alerts", pages.get_alerts),
        ("POST", "/alerts", pages.post_alerts),
        ("GET", "/alerts/log", pages.get_log),
        ("POST", "/alerts/log/{delivery_id}/retry", pages.post_retry),
        ("GET", "/alerts/{alert_id}", pages.get_alert),
        ("POST", "/alerts/{alert_id}", pages.post_alert),
        ("POST", "/alerts/{alert_id}/pause", pages.post_pause),
        ("POST", "/alerts/{alert_id}/resume", pages.post_resume),
        ("POST", "/alerts/{alert_id}/test", pages.post_test),
        ("POST", "/alerts/{alert_id}/secret", pages.post_secret),
        ("POST", "/alerts/{alert_id}/delete", pages.post_delete),
    )


class _AlertPages:
    def __init__(self, services: Services, site: Site) -> None:
        self._services = services
        self._templates = site.templates

    def get_alerts(self, request: Request) -> Response:
        """List the alerts, with the form of a new one."""
        return self._list(request)

    def post_alerts(self, request: Request, form: Form) -> Response:
        """Create an alert, and show it with its secret."""
        project = self._services.projects.current()
        try:
            with self._services.database.transaction() as session:
                body = posted_alert(form, is_new=True)
                row = create_alert(session, project.id, body, self._services.settings)
                alert_id, secret = row.id, row.secret
        except ApiError as error:
            return self._list(request, error, form)
        return self._show(request, alert_id, secret=secret) if secret else _to(f"/alerts/{alert_id}")

    def get_log(self, request: Request, issue: str = "", status: str = "", offset: int = 0) -> Response:
        """Show what all alerts sent, could not send, and have still to send."""
        status = status if status in STATUSES else ""
        start = min(max(offset, 0), 1_000_000)
        wanted = LogFilter(issue_id=issue[:36], status=status)
        with self._services.database.session() as session:
            rows, has_more = self._log(session, wanted, offset=start)
        older = urlencode({"issue": issue[:36], "status": status, "offset": start + _LOG_ROWS}) if has_more else ""
        return self._templates.page(
            request, "alerts/log.html", rows=rows, wanted=wanted, statuses=STATUSES, kinds=_KIND_WORDS, older=older, paged=start > 0,
        )  # fmt: skip

    def post_retry(self, delivery_id: int) -> Response:
        """Send the message of a failed delivery again."""
        project = self._services.projects.current()
        with self._services.database.transaction() as session:
            alert_id = repeat_delivery(session, project.id, delivery_id).alert_id
        return _to(f"/alerts/{alert_id}")

    def get_alert(self, request: Request, alert_id: int) -> Response:
        """Show an alert, its log and its form."""
        return self._show(request, alert_id)

    def post_alert(self, request: Request, alert_id: int, form: Form) -> Response:
        """Save the alert."""
        try:
            self._change(alert_id, posted_alert(form, is_new=False))
        except ApiError as error:
            if error.status == 404:
                raise
            return self._show(request, alert_id, error=error)
        return _to(f"/alerts/{alert_id}")

    def post_pause(self, alert_id: int) -> Response:
        """Pause the alert, and give up what waits."""
        self._change(alert_id, {"enabled": False})
        return _to(f"/alerts/{alert_id}")

    def post_resume(self, alert_id: int) -> Response:
        """Let the alert send again."""
        self._change(alert_id, {"enabled": True})
        return _to(f"/alerts/{alert_id}")

    def post_test(self, request: Request, alert_id: int) -> Response:
        """Send an example message; the log shows what became of it."""
        project = self._services.projects.current()
        with self._services.database.session() as session:
            row = found_alert(session, project.id, alert_id)
        try:
            send_test(self._services, row)
        except ApiError as error:
            return self._show(request, alert_id, error=error)
        return _to(f"/alerts/{alert_id}")

    def post_secret(self, request: Request, alert_id: int) -> Response:
        """Make a new secret, and show it once."""
        project = self._services.projects.current()
        with self._services.database.transaction() as session:
            secret = replace_secret(found_alert(session, project.id, alert_id))
        return self._show(request, alert_id, secret=secret)

    def post_delete(self, alert_id: int) -> Response:
        """Delete the alert and its log."""
        project = self._services.projects.current()
        with self._services.database.transaction() as session:
            session.delete(found_alert(session, project.id, alert_id))
        return _to("/alerts")

    def _change(self, alert_id: int, body: Mapping[str, Any]) -> None:
        project = self._services.projects.current()
        with self._services.database.transaction() as session:
            change_alert(session, found_alert(session, project.id, alert_id), body, self._services.settings)

    def _list(
        self, request: Request, error: ApiError | None = None, form: Mapping[str, Sequence[str]] | None = None
    ) -> Response:
        project = self._services.projects.current()
        with self._services.database.session() as session:
            rows, states = alerts_of(session, project.id), states_of(session, project.id)
            names = property_names(session, project.id, EVENT)
        given = {name: values[-1] for name, values in (form or {}).items() if values}
        chosen = list(TRIGGERS) if form is None else list(form.get("trigger", ()))
        return self._templates.page(
            request, "alerts/alerts.html", error.status if error else 200,
            alerts=[(row, states.get(row.id, State()), shown_url(row.url)) for row in rows], given=given,
            chosen=chosen, given_filters=given_filters(form or {}), problem=error.body.detail if error else "", has_mail=bool(self._services.settings.smtp_host), kinds=_KINDS,
            **_form_parts(names),
        )  # fmt: skip

    def _show(self, request: Request, alert_id: int, *, secret: str = "", error: ApiError | None = None) -> Response:
        project = self._services.projects.current()
        with self._services.database.session() as session:
            row = found_alert(session, project.id, alert_id)
            state = states_of(session, project.id).get(alert_id, State())
            rows, _ = self._log(session, LogFilter(alert_id=alert_id))
            names = property_names(session, project.id, EVENT)
        return self._templates.page(
            request, "alerts/alert.html", error.status if error else 200, alert=row, state=state, rows=rows, url=shown_url(row.url),
            secret=secret, problem=error.body.detail if error else "", plain=shown_filters(row.filters), is_hook=row.kind in HOOKS,
            is_mail=row.kind == MAIL, kind=_KINDS[row.kind], **_form_parts(names),
        )  # fmt: skip

    def _log(self, session: Session, wanted: LogFilter, offset: int = 0) -> tuple[list[Any], bool]:
        return log_of(session, self._services.projects.current().id, wanted, limit=_LOG_ROWS, offset=offset)


def _form_parts(names: Sequence[str]) -> dict[str, Any]:
    return {
        "fields": FIELDS, "operators": OPERATORS, "triggers": {key: _KIND_WORDS[key] for key in TRIGGERS},
        "names": [*ISSUE_PROPERTIES, *names], "trigger_names": _KIND_WORDS,
    }  # fmt: skip


def _to(path: str) -> Response:
    return RedirectResponse(path, 303, PAGE_HEADERS)
