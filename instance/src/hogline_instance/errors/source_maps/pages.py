"""The page of source maps: `/issues/source-maps`, with symbol sets, releases and hosts."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hogline_instance.db import aware
from hogline_instance.errors.config import SOURCE_MAPS, ConfigError, config_of, save_config
from hogline_instance.errors.releases import commit_url
from hogline_instance.errors.source_maps.storage import count_sets, delete_set, list_sets
from hogline_instance.errors.tables import ReleaseRow, SymbolSetRow
from hogline_instance.services import Services
from hogline_instance.web.bodies import Form, form_text
from hogline_instance.web.errors import ApiError, bad_request, not_found
from hogline_instance.web.security import PAGE_HEADERS
from hogline_instance.web.site import Site

__all__ = ["build_router"]

_PATH = "/issues/source-maps"
_PER_PAGE, _RELEASES = 50, 50
_STATUSES = ("any", "valid", "invalid")


def build_router(services: Services, site: Site) -> APIRouter:
    """Return the page and its forms."""
    pages = _SourceMapPages(services, site)
    return site.router(
        ("GET", _PATH, pages.get_page),
        ("POST", _PATH + "/hosts", pages.post_hosts),
        ("POST", _PATH + "/{set_id}/delete", pages.post_delete),
    )


class _SourceMapPages:
    def __init__(self, services: Services, site: Site) -> None:
        self._services = services
        self._templates = site.templates

    def get_page(self, request: Request) -> Response:
        """Show the newest symbol sets and releases, and the hosts that may be asked."""
        return self._page(request)

    def post_hosts(self, request: Request, form: Form) -> Response:
        """Save the hosts that maps are fetched from, one on each line."""
        hosts = [line.strip() for line in form_text(form, "hosts").splitlines() if line.strip()]
        try:
            with self._services.database.transaction() as session:
                save_config(session, SOURCE_MAPS, self._services.projects.current().id, {"hosts": hosts})
        except ConfigError as error:
            return self._page(request, bad_request(error.name, str(error)), hosts)
        return RedirectResponse(f"{_PATH}#hosts", 303, PAGE_HEADERS)

    def post_delete(self, set_id: str) -> Response:
        """Delete a symbol set; what it resolved stays as it is."""
        with self._services.database.transaction() as session:
            if not delete_set(session, self._services.projects.current().id, set_id):
                raise not_found("This project has no symbol set with that id.")
        return RedirectResponse(_PATH, 303, PAGE_HEADERS)

    def _page(self, request: Request, error: ApiError | None = None, hosts: Sequence[str] | None = None) -> Response:
        project_id, given = self._services.projects.current().id, request.query_params
        status = given.get("status", "any") if given.get("status") in _STATUSES else "any"
        text = given.get("offset", "0")
        offset = int(text) if text.isdecimal() and text.isascii() and len(text) < 8 else 0
        with self._services.database.session() as session:
            sets = list_sets(session, project_id, status, limit=_PER_PAGE + 1, offset=offset)
            rows = [_set(row, session.get(ReleaseRow, row.release_id or "")) for row in sets[:_PER_PAGE]]
            values: dict[str, Any] = {
                "sets": rows, "count": count_sets(session, project_id), "releases": _releases(session, project_id),
                "hosts": hosts if hosts is not None else config_of(session, SOURCE_MAPS, project_id)["hosts"],
            }  # fmt: skip
        return self._templates.page(
            request, "errors/source_maps.html", error.status if error else 200, wanted=status, statuses=_STATUSES,
            offset=offset, older=offset + _PER_PAGE if len(sets) > _PER_PAGE else None,
            problem=error.body.detail if error else "", **values,
        )  # fmt: skip


def _set(row: SymbolSetRow, release: ReleaseRow | None) -> dict[str, Any]:
    problem = row.failure_reason or ("" if row.content_hash else "the upload has not been finished")
    return {
        "id": row.id, "ref": row.ref, "size_bytes": row.size_bytes, "at": aware(row.created_at), "problem": problem,
        "used": aware(row.last_used) if row.last_used else None, "release": release.version if release else "",
    }  # fmt: skip


def _releases(session: Session, project_id: int) -> list[dict[str, Any]]:
    """Return the newest releases, each with the number of its symbol sets."""
    query = (
        select(ReleaseRow, func.count(SymbolSetRow.id))
        .outerjoin(SymbolSetRow, SymbolSetRow.release_id == ReleaseRow.id)
        .where(ReleaseRow.team_id == project_id)
        .group_by(ReleaseRow.id)
        .order_by(ReleaseRow.created_at.desc())
        .limit(_RELEASES)
    )
    found = []
    for row, many in session.execute(query):
        git = (row.details or {}).get("git")
        facts: Mapping[str, Any] = git if isinstance(git, Mapping) else {}
        found.append({
            "version": row.version, "project": row.project, "at": aware(row.created_at), "sets": many,
            "commit": str(facts.get("commit_id") or "")[:12], "url": commit_url(facts),
        })  # fmt: skip
    return found
