"""`.../error_tracking/*_rules` and the configurations, in PostHog's shapes.

Source: docs/internals/instance-protocol.md#error-rules-and-spikes.
"""

from typing import Any

from fastapi import APIRouter, Response

from hogline_instance.db import Database
from hogline_instance.errors.config import RATE_LIMITS, SOURCE_MAPS, SPIKES, ConfigError, config_of, save_config
from hogline_instance.errors.request_bodies import PlainObject
from hogline_instance.errors.rule_editing import RuleEditor
from hogline_instance.errors.rules import KINDS
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.errors import bad_request
from hogline_instance.web.routes import ProjectRoutes

__all__ = ["build_router"]

_CONFIGS = {
    "rate_limit_config": RATE_LIMITS,
    "settings": RATE_LIMITS,
    "spike_detection_config": SPIKES,
    "source_map_config": SOURCE_MAPS,
}


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the routes of rules and configurations."""
    routes = ProjectRoutes("error_tracking")
    for kind in KINDS:
        _add_rules(routes, RuleEditor(services.database, kind), access)
    for path, name in _CONFIGS.items():
        _add_config(routes, services.database, path, name, access)
    return routes.router


def _add_rules(routes: ProjectRoutes, rules: RuleEditor, access: Access) -> None:
    allowed: Any = access.project("error_tracking")

    def list_rules(project: Project = allowed) -> dict[str, Any]:
        """Return the rules in their order; the first that matches wins."""
        return rules.all(project)

    def create_rule(body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Add a rule after the others."""
        return rules.create(project, body)

    def get_rule(rule_id: str, project: Project = allowed) -> dict[str, Any]:
        """Return one rule."""
        return rules.get(project, rule_id)

    def change_rule(rule_id: str, body: PlainObject, project: Project = allowed) -> Response:
        """Change a rule, and enable it again when an error disabled it."""
        rules.change(project, rule_id, body)
        return Response(status_code=204)

    def delete_rule(rule_id: str, project: Project = allowed) -> Response:
        """Delete a rule."""
        rules.delete(project, rule_id)
        return Response(status_code=204)

    def reorder(body: PlainObject, project: Project = allowed) -> Response:
        """Set the order of rules: `orders` maps an id to a number."""
        rules.reorder(project, body)
        return Response(status_code=204)

    path = f"{rules.kind}_rules"
    routes.add("GET", f"/error_tracking/{path}/", list_rules)
    routes.add("POST", f"/error_tracking/{path}/", create_rule, status=201)
    routes.add("PATCH", f"/error_tracking/{path}/reorder/", reorder, status=204)
    routes.add("GET", f"/error_tracking/{path}/{{rule_id}}/", get_rule)
    for method in ("PATCH", "PUT"):
        routes.add(method, f"/error_tracking/{path}/{{rule_id}}/", change_rule, status=204)
    routes.add("DELETE", f"/error_tracking/{path}/{{rule_id}}/", delete_rule, status=204)


def _add_config(routes: ProjectRoutes, database: Database, path: str, name: str, access: Access) -> None:
    allowed: Any = access.project("error_tracking")

    def get_config(project: Project = allowed) -> dict[str, Any]:
        """Return the configuration, with the defaults."""
        with database.session() as session:
            return config_of(session, name, project.id)

    def change_config(body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Change the given values."""
        try:
            with database.transaction() as session:
                return save_config(session, name, project.id, body)
        except ConfigError as error:
            raise bad_request(error.name, str(error)) from error

    routes.add("GET", f"/error_tracking/{path}/", get_config)
    for method in ("PATCH", "PUT", "POST"):
        routes.add(method, f"/error_tracking/{path}/", change_config)
