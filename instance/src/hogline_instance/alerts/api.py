"""`.../error_tracking/alerts/`: alerts, their test, and the log of their deliveries."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from hogline_instance.alerts.delivery import send_test
from hogline_instance.alerts.editing import change_alert, create_alert, found_alert, repeat_delivery, replace_secret
from hogline_instance.alerts.listing import LogFilter, State, alerts_of, log_of, states_of
from hogline_instance.alerts.records import alert_json, delivery_json
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.bodies import JsonObject
from hogline_instance.web.paging import PageRange, offset_page, page_range
from hogline_instance.web.routes import ProjectRoutes
from hogline_instance.web.schemas import json_response

__all__ = ["build_router"]

_BASE = "/error_tracking/alerts/"
_Range = Annotated[PageRange, Depends(page_range)]
_Status = Literal["", "waiting", "sent", "failed", "cancelled"]


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the routes."""
    routes = ProjectRoutes("error_tracking")
    _add_deliveries(routes, services, access)  # before `{alert_id}/`, which would match `deliveries/`
    _add_alerts(routes, services, access)
    return routes.router


def _add_deliveries(routes: ProjectRoutes, services: Services, access: Access) -> None:
    allowed: Any = access.project("error_tracking")

    def list_deliveries(
        request: Request,
        wanted: _Range,
        alert_id: int | None = None,
        issue_id: Annotated[str, Query(max_length=36)] = "",
        status: _Status = "",
        project: Project = allowed,
    ) -> Response:
        """List what alerts sent, could not send, and have still to send; the newest first."""
        with services.database.session() as session:
            rows, has_more = log_of(
                session, project.id, LogFilter(alert_id, issue_id, status), limit=wanted.limit, offset=wanted.offset
            )
        shown = [delivery_json(row) for row, _ in rows]
        return json_response(offset_page(request, wanted, shown, count=None, has_more=has_more))

    def post_retry(delivery_id: int, project: Project = allowed) -> Response:
        """Send the message of a failed or cancelled delivery again."""
        with services.database.transaction() as session:
            row = repeat_delivery(session, project.id, delivery_id)
            return json_response(delivery_json(row))

    routes.add("GET", f"{_BASE}deliveries/", list_deliveries)
    routes.add("POST", f"{_BASE}deliveries/{{delivery_id}}/retry/", post_retry)


def _add_alerts(routes: ProjectRoutes, services: Services, access: Access) -> None:
    database, settings = services.database, services.settings
    allowed: Any = access.project("error_tracking")

    def list_alerts(request: Request, wanted: _Range, project: Project = allowed) -> Response:
        """List the alerts by name."""
        with database.session() as session:
            rows, states = alerts_of(session, project.id), states_of(session, project.id)
        shown = rows[wanted.offset : wanted.offset + wanted.limit]
        records = [alert_json(row, states.get(row.id, State())) for row in shown]
        return json_response(offset_page(request, wanted, records, count=len(rows)))

    def post_alert(body: JsonObject, project: Project = allowed) -> Response:
        """Create an alert. The answer alone holds the secret of a webhook."""
        with database.transaction() as session:
            row = create_alert(session, project.id, body, settings)
            answer = json_response(alert_json(row, State(), secret=row.secret))
        answer.status_code = 201
        return answer

    def get_alert(alert_id: int, project: Project = allowed) -> Response:
        """Return one alert."""
        with database.session() as session:
            row = found_alert(session, project.id, alert_id)
            return json_response(alert_json(row, states_of(session, project.id).get(row.id, State())))

    def patch_alert(alert_id: int, body: JsonObject, project: Project = allowed) -> Response:
        """Change the given fields; `enabled: false` pauses the alert and gives up what waits."""
        with database.transaction() as session:
            row = found_alert(session, project.id, alert_id)
            change_alert(session, row, body, settings)
            session.flush()
            return json_response(alert_json(row, states_of(session, project.id).get(row.id, State())))

    def delete_alert(alert_id: int, project: Project = allowed) -> Response:
        """Delete an alert and its log."""
        with database.transaction() as session:
            session.delete(found_alert(session, project.id, alert_id))
        return Response(status_code=204)

    def post_test(alert_id: int, project: Project = allowed) -> Response:
        """Send an example message now, and return what became of it."""
        with database.session() as session:
            row = found_alert(session, project.id, alert_id)
        return json_response(delivery_json(send_test(services, row)))

    def post_rotate_secret(alert_id: int, project: Project = allowed) -> Response:
        """Give a webhook a new secret, which the answer alone holds."""
        with database.transaction() as session:
            row = found_alert(session, project.id, alert_id)
            secret = replace_secret(row)
            return json_response(alert_json(row, states_of(session, project.id).get(row.id, State()), secret=secret))

    routes.add("GET", _BASE, list_alerts)
    routes.add("POST", _BASE, post_alert, status=201)
    routes.add("GET", f"{_BASE}{{alert_id}}/", get_alert)
    routes.add("PATCH", f"{_BASE}{{alert_id}}/", patch_alert)
    routes.add("DELETE", f"{_BASE}{{alert_id}}/", delete_alert, status=204)
    routes.add("POST", f"{_BASE}{{alert_id}}/test/", post_test)
    routes.add("POST", f"{_BASE}{{alert_id}}/rotate_secret/", post_rotate_secret)
