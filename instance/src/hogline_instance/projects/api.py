"""`/api/projects/`, `/api/organizations/`, `/api/users/@me/` and `/api/personal_api_keys/@current/`.

Source: docs/internals/management-api.md#users-organisations-and-projects.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import select

from hogline_instance.project import PersonalKey, Project
from hogline_instance.projects import changes
from hogline_instance.projects.records import (
    key_json,
    organization,
    organization_json,
    project_json,
    short_project_json,
    user_json,
)
from hogline_instance.projects.settings import checked_settings
from hogline_instance.projects.tables import OrganizationRow, PersonalKeyRow, ProjectRow
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.bodies import JsonObject
from hogline_instance.web.errors import forbidden, not_found
from hogline_instance.web.paging import PageRange, offset_page, page_range
from hogline_instance.web.routes import ProjectRoutes, add_route, api_router, join_routers
from hogline_instance.web.schemas import json_response

__all__ = ["build_router"]

_TOKEN_ACTIONS = ("reset_token", "rotate_secret_token", "delete_secret_token_backup")


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the routes of projects, and those that official tools ask about their key."""
    return join_routers(_Projects(services, access).router, _Accounts(services, access).router)


class _Projects:
    """Projects: of the instance, of the organisation, and one by its id."""

    def __init__(self, services: Services, access: Access) -> None:
        self._services = services
        any_key: Any = access.key("project")
        allowed: Any = access.project("project")

        def list_projects(
            request: Request, wanted: Annotated[PageRange, Depends(page_range)], key: PersonalKey = any_key
        ) -> Response:
            """List the projects that the key may see."""
            rows = _visible_projects(services, key)
            owner = organization(services.database)
            shown = rows[wanted.offset : wanted.offset + wanted.limit]
            return json_response(
                offset_page(request, wanted, [short_project_json(row, owner) for row in shown], count=len(rows))
            )

        def create_project(body: JsonObject, key: PersonalKey = any_key) -> Response:
            """Create a project; the answer holds its `id` and `api_token`."""
            if key.project_ids is not None:
                raise forbidden("The key is limited to some projects, so it cannot create another one.")
            row = changes.create_project(
                services.database, changes.checked_name(body.get("name")), checked_settings(body)
            )
            return self._changed(row, status=201)

        def get_project(project: Project = allowed) -> Response:
            """Return a project with all its settings."""
            return self._answer(_project_row(services, project.id))

        def patch_project(body: JsonObject, project: Project = allowed) -> Response:
            """Change the name and settings of a project; fields that are not sent stay."""
            name = changes.checked_name(body["name"]) if "name" in body else None
            return self._changed(changes.change_project(services.database, project.id, name, checked_settings(body)))

        def delete_project(project: Project = allowed) -> Response:
            """Delete a project with its people, flags, events and everything else."""
            changes.delete_project(services.database, project.id)
            services.projects.refresh()
            services.projects.forget_keys()
            changes.purge_deleted(services.database, services.store)
            return Response(status_code=204)

        routes = ProjectRoutes("projects")
        for action in _TOKEN_ACTIONS:
            routes.add("PATCH", f"/{action}/", self._token_action(action, allowed))
        routes.add("GET", "/", get_project)
        routes.add("PATCH", "/", patch_project)
        routes.add("DELETE", "/", delete_project, status=204)
        add_route(routes.router, "GET", "/projects/", list_projects)
        add_route(routes.router, "POST", "/projects/", create_project, status=201)
        owned = api_router(
            "projects",
            prefix="/organizations/{organization_id}",
            dependencies=[access.key(), Depends(_known_organization(services))],
        )
        add_route(owned, "GET", "/projects/", list_projects)
        add_route(owned, "POST", "/projects/", create_project, status=201)
        add_route(owned, "GET", "/projects/{project_id}/", get_project)
        add_route(owned, "PATCH", "/projects/{project_id}/", patch_project)
        add_route(owned, "DELETE", "/projects/{project_id}/", delete_project, status=204)
        self.router = join_routers(routes.router, owned)

    def _token_action(self, action: str, allowed: Any) -> Callable[..., Response]:
        def run(project: Project = allowed) -> Response:
            return self._changed(changes.replace_token(self._services.database, project.id, action))

        run.__name__ = action
        run.__doc__ = f"Do `{action}`, and return the project with its tokens."
        return run

    def _changed(self, row: ProjectRow, status: int = 200) -> Response:
        self._services.projects.refresh()
        self._services.projects.forget_keys()
        return self._answer(row, status)

    def _answer(self, row: ProjectRow, status: int = 200) -> Response:
        answer = json_response(project_json(row, organization(self._services.database)))
        answer.status_code = status
        return answer


class _Accounts:
    """The organisation, the user and the key of a request."""

    def __init__(self, services: Services, access: Access) -> None:
        self.router = api_router("accounts")
        any_key: Any = access.key("organization")
        users_key: Any = access.key("user")
        own_key: Any = access.key()
        known: Any = Depends(_known_organization(services))

        def list_organizations(
            request: Request, wanted: Annotated[PageRange, Depends(page_range)], key: PersonalKey = any_key
        ) -> Response:
            """List the organisations: there is one."""
            record = organization_json(organization(services.database), _visible_projects(services, key))
            return json_response(offset_page(request, wanted, [record][wanted.offset :], count=1))

        def get_organization(key: PersonalKey = any_key, owner: OrganizationRow = known) -> Response:
            """Return the organisation with the projects that the key may see."""
            return json_response(organization_json(owner, _visible_projects(services, key)))

        def get_user(key: PersonalKey = users_key) -> Response:
            """Return the user of the key, with the organisation and the current project."""
            rows = _visible_projects(services, key)
            current = _project_row(services, key.project.id)
            return json_response(user_json(organization(services.database), rows, current))

        def get_key(key: PersonalKey = own_key) -> Response:
            """Return the key of this request: its scopes and projects."""
            with services.database.session() as session:
                row = session.get(PersonalKeyRow, key.id)
            return json_response(key_json(key, row))

        add_route(self.router, "GET", "/organizations/", list_organizations)
        add_route(self.router, "GET", "/organizations/{organization_id}/", get_organization)
        add_route(self.router, "GET", "/users/@me/", get_user)
        add_route(self.router, "GET", "/personal_api_keys/@current/", get_key)


def _known_organization(services: Services) -> Callable[[str], OrganizationRow]:
    def known(organization_id: str) -> OrganizationRow:
        owner = organization(services.database)
        if organization_id not in {"@current", owner.id}:
            raise not_found()
        return owner

    return known


def _visible_projects(services: Services, key: PersonalKey) -> list[ProjectRow]:
    with services.database.session() as session:
        rows = session.scalars(select(ProjectRow).order_by(ProjectRow.id)).all()
        session.expunge_all()
    return [row for row in rows if key.reaches(row.id)]


def _project_row(services: Services, project_id: int) -> ProjectRow:
    with services.database.session() as session:
        row = session.get(ProjectRow, project_id)
        if row is None:
            raise not_found()
        session.expunge(row)
    return row
