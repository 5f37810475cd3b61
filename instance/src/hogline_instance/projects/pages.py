"""The pages of projects: `/projects`, and one project's settings and keys at `/projects/{id}`."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from hogline_instance.project import Project
from hogline_instance.projects import changes
from hogline_instance.projects.keys import create_key, delete_key, keys_of, read_scopes
from hogline_instance.projects.settings import checked_settings, setting_values
from hogline_instance.services import Services
from hogline_instance.web.bodies import Form, form_text
from hogline_instance.web.errors import ApiError, not_found
from hogline_instance.web.property_rows import OPERATORS, posted_filters
from hogline_instance.web.security import PAGE_HEADERS
from hogline_instance.web.site import Site, choose_project

__all__ = ["build_router"]

_BROWSER = (
    ("autocapture_exceptions_opt_in", "Uncaught exceptions"),
    ("capture_dead_clicks", "Clicks that do nothing"),
    ("heatmaps_opt_in", "Heatmaps"),
    ("autocapture_web_vitals_opt_in", "Web vitals"),
    ("capture_performance_opt_in", "Timing of network requests"),
    ("surveys_opt_in", "Surveys"),
    ("session_recording_opt_in", "Session recordings: browsers send them, and this version does not keep them"),
    ("capture_console_log_opt_in", "The console's log, in recordings"),
    ("autocapture_opt_out", "No clicks, inputs and submitted forms"),
)
"""The settings of posthog-js with their labels on the page."""


def build_router(services: Services, site: Site) -> APIRouter:
    """Return the pages and their actions."""
    pages = _ProjectPages(services, site)
    return site.router(
        ("GET", "/projects", pages.get_projects),
        ("POST", "/projects", pages.post_projects),
        ("GET", "/projects/{project_id}", pages.get_project),
        ("POST", "/projects/{project_id}", pages.post_project),
        ("POST", "/projects/{project_id}/open", pages.post_open),
        ("POST", "/projects/{project_id}/keys", pages.post_key),
        ("POST", "/projects/{project_id}/keys/{key_id}/delete", pages.post_delete_key),
        ("POST", "/projects/{project_id}/delete", pages.post_delete),
    )


class _ProjectPages:
    def __init__(self, services: Services, site: Site) -> None:
        self._services = services
        self._templates = site.templates

    def get_projects(self, request: Request) -> Response:
        """List the projects."""
        return self._list(request)

    def post_projects(self, request: Request, form: Form) -> Response:
        """Create a project and show it."""
        try:
            name = changes.checked_name(form_text(form, "name"))
            settings = checked_settings({"timezone": form_text(form, "timezone") or "UTC"})
            row = changes.create_project(self._services.database, name, settings)
        except ApiError as error:
            return self._list(request, error)
        self._reload()
        return _chosen(row.id, f"/projects/{row.id}")

    def get_project(self, request: Request, project_id: int, saved: str = "") -> Response:
        """Show a project's settings and keys."""
        return self._show(request, self._found(project_id), saved=bool(saved))

    def post_project(self, request: Request, project_id: int, form: Form) -> Response:
        """Save the settings."""
        project = self._found(project_id)
        values: dict[str, Any] = {
            "timezone": form_text(form, "timezone"),
            "week_start_day": 1 if form_text(form, "week_start_day") == "1" else 0,
            "anonymize_ips": "anonymize_ips" in form,
            "app_urls": form_text(form, "app_urls").splitlines(),
            "recording_domains": form_text(form, "recording_domains").splitlines(),
            "session_recording_sample_rate": form_text(form, "session_recording_sample_rate").strip() or None,
            "session_recording_minimum_duration_milliseconds": _whole(
                form_text(form, "session_recording_minimum_duration_milliseconds")
            ),
            "quota_limited": [each for each in ("feature_flags", "recordings") if f"quota_{each}" in form],
            **{name: name in form for name, _ in _BROWSER},
        }
        try:
            values["test_account_filters"] = posted_filters(form)
            name = changes.checked_name(form_text(form, "name"))
            changes.change_project(self._services.database, project.id, name, checked_settings(values))
        except ApiError as error:
            return self._show(request, project, values=values, error=error)
        self._reload()
        return RedirectResponse(f"/projects/{project.id}?saved=1", 303, PAGE_HEADERS)

    def post_open(self, project_id: int) -> Response:
        """Show this project on all pages from now on."""
        return _chosen(self._found(project_id).id, "/")

    def post_key(self, request: Request, project_id: int, form: Form) -> Response:
        """Create a personal key, and show it once."""
        project = self._found(project_id)
        try:
            key = create_key(
                self._services.database, project.id, label=form_text(form, "label"), scopes=read_scopes(form_text(form, "scopes")),
                project_ids=[project.id] if "limited" in form else None,
            )  # fmt: skip
        except ApiError as error:
            return self._show(request, project, error=error)
        return self._show(request, project, new_key=key)

    def post_delete_key(self, project_id: int, key_id: int) -> Response:
        """Delete a personal key."""
        project = self._found(project_id)
        delete_key(self._services.database, project.id, key_id)
        self._services.projects.forget_keys()
        return RedirectResponse(f"/projects/{project.id}", 303, PAGE_HEADERS)

    def post_delete(self, request: Request, project_id: int, form: Form) -> Response:
        """Delete the project when its name was typed."""
        project = self._found(project_id)
        try:
            if form_text(form, "name").strip() != project.name:
                raise ApiError(
                    400, "validation_error", "invalid", "That is not the project's name: nothing was deleted."
                )
            changes.delete_project(self._services.database, project.id)
        except ApiError as error:
            return self._show(request, project, error=error)
        self._reload()
        changes.purge_deleted(self._services.database, self._services.store)
        return RedirectResponse("/projects", 303, PAGE_HEADERS)

    def _list(self, request: Request, error: ApiError | None = None) -> Response:
        projects = self._services.projects
        return self._templates.page(
            request, "projects/projects.html", error.status if error else 200, projects=projects.all(), current=projects.current(),
            timezones=sorted(available_timezones()), problem=error.body.detail if error else "",
        )  # fmt: skip

    def _show(
        self,
        request: Request,
        project: Project,
        *,
        values: Mapping[str, Any] | None = None,
        error: ApiError | None = None,
        saved: bool = False,
        new_key: str = "",
    ) -> Response:
        return self._templates.page(
            request, "projects/project.html", error.status if error else 200, project=project,
            values=setting_values({**project.settings, **(values or {})}), keys=keys_of(self._services.database, project.id),
            operators=OPERATORS, timezones=sorted(available_timezones()), problem=error.body.detail if error else "", saved=saved,
            new_key=new_key, browser=_BROWSER,
        )  # fmt: skip

    def _found(self, project_id: int) -> Project:
        project = self._services.projects.by_id(project_id)
        if project is None:
            raise not_found(f"This instance has no project {project_id}.")
        return project

    def _reload(self) -> None:
        self._services.projects.refresh()
        self._services.projects.forget_keys()


def _whole(text: str) -> object:
    """Return a number, None for an empty text, or the text itself: the check of the setting names it."""
    return int(text) if text.strip().isdecimal() else text.strip() or None


def _chosen(project_id: int, path: str) -> Response:
    answer = RedirectResponse(path, 303, PAGE_HEADERS)
    choose_project(answer, project_id)
    return answer
