"""`.../error_tracking/symbol_sets` and `releases`, and the URL that files are uploaded to.

Source: docs/internals/management-api.md#symbol-sets-and-source-maps.
"""

import asyncio
import hmac
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import func, select
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from hogline_instance.db import aware
from hogline_instance.errors.issue_json import iso
from hogline_instance.errors.request_bodies import PlainObject, required
from hogline_instance.errors.source_maps.container import MAX_CONTAINER_BYTES
from hogline_instance.errors.source_maps.storage import (
    SymbolError,
    count_sets,
    delete_set,
    find_release,
    finish,
    list_sets,
    make_release,
    start,
    store_bytes,
)  # fmt: skip
from hogline_instance.errors.tables import ReleaseRow, SymbolSetRow
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.errors import ApiError, bad_request, not_found
from hogline_instance.web.routes import ProjectRoutes

__all__ = ["build_router"]

_MAX_SETS = 1_000
_MAX_FORM_BYTES = 64 * 1024
_UPLOAD = "/symbol_set_upload/{set_id}"


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the routes of symbol sets and releases."""
    routes = ProjectRoutes("error_tracking")
    _add_symbol_sets(routes, services, access)
    _add_releases(routes, services, access)
    routes.router.add_api_route(_UPLOAD, _upload(services), methods=["POST"], status_code=204, response_model=None)
    return routes.router


def _add_symbol_sets(routes: ProjectRoutes, services: Services, access: Access) -> None:
    allowed: Any = access.project("error_tracking")

    def bulk_start(request: Request, body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Return where to upload the file of each chunk; known chunks are left out."""
        wanted = _wanted(body)
        with services.database.transaction() as session:
            try:
                started = start(session, project.id, wanted, force=body.get("force") is True)
            except SymbolError as error:
                raise _refused(error) from error
            id_map = {ref: _upload_json(request, services, row) for ref, row in started.items()}
        return {"id_map": id_map}

    def bulk_finish(body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Make uploaded sets usable: `content_hashes` maps the id of a set to its hash."""
        hashes = required(body, "content_hashes")
        if not isinstance(hashes, Mapping) or len(hashes) > _MAX_SETS:
            raise bad_request("content_hashes", f"content_hashes must map up to {_MAX_SETS} ids to hashes")
        _finish(project, hashes)
        return {"success": True}

    def _finish(project: Project, hashes: Mapping[str, Any]) -> None:
        with services.database.transaction() as session:
            try:
                finish(session, project.id, hashes)
            except SymbolError as error:
                raise _refused(error) from error

    def start_one(
        request: Request, chunk_id: str, release_id: str | None = None, project: Project = allowed
    ) -> dict[str, Any]:
        """Return where to upload one file."""
        body = {"symbol_sets": [{"chunk_id": chunk_id, "release_id": release_id}], "force": True}
        made: dict[str, Any] = bulk_start(request, body, project)["id_map"][chunk_id]
        return made

    def finish_one(set_id: str, body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Make one uploaded set usable."""
        _finish(project, {set_id: required(body, "content_hash")})
        return {"success": True}

    def list_all(
        status: str | None = None, limit: Annotated[int, Query(ge=1, le=_MAX_SETS)] = 100,
        offset: Annotated[int, Query(ge=0)] = 0, project: Project = allowed,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the symbol sets; `status` is `valid` or `invalid`."""
        with services.database.session() as session:
            rows = list_sets(session, project.id, status, limit=limit, offset=offset)
            shown = [_set_json(session.get(ReleaseRow, row.release_id or ""), row) for row in rows]
            count = count_sets(session, project.id, status)
        return {"count": count, "next": None, "previous": None, "results": shown}

    def delete(set_id: str, project: Project = allowed) -> Response:
        """Delete a symbol set."""
        with services.database.transaction() as session:
            if not delete_set(session, project.id, set_id):
                raise not_found("Not found.")
        return Response(status_code=204)

    routes.add("POST", "/error_tracking/symbol_sets/bulk_start_upload/", bulk_start, status=201)
    routes.add("POST", "/error_tracking/symbol_sets/bulk_finish_upload/", bulk_finish, status=201)
    routes.add("POST", "/error_tracking/symbol_sets/start_upload/", start_one, status=201)
    routes.add("PUT", "/error_tracking/symbol_sets/{set_id}/finish_upload/", finish_one)
    routes.add("GET", "/error_tracking/symbol_sets/", list_all)
    routes.add("DELETE", "/error_tracking/symbol_sets/{set_id}/", delete, status=204)


def _add_releases(routes: ProjectRoutes, services: Services, access: Access) -> None:
    allowed: Any = access.project("error_tracking")

    def create(body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Return the release with this hash, made when it is new."""
        if not body.get("version"):
            raise ApiError(400, "validation_error", "required", "version is required.", "version")
        with services.database.transaction() as session:
            return _release_json(make_release(session, project.id, body))

    def by_hash(hash_id: str, project: Project = allowed) -> dict[str, Any]:
        """Return the release with this hash."""
        with services.database.session() as session:
            row = find_release(session, project.id, hash_id)
            if row is None:
                raise not_found("Not found.")
            return _release_json(row)

    def list_all(limit: Annotated[int, Query(ge=1, le=1_000)] = 100, project: Project = allowed) -> dict[str, Any]:
        """Return releases, the newest first."""
        with services.database.session() as session:
            of_project = ReleaseRow.team_id == project.id
            count = session.scalar(select(func.count()).select_from(ReleaseRow).where(of_project))
            rows = session.scalars(
                select(ReleaseRow).where(of_project).order_by(ReleaseRow.created_at.desc()).limit(limit)
            )
            return {"count": count, "next": None, "previous": None, "results": [_release_json(row) for row in rows]}

    routes.add("POST", "/error_tracking/releases/", create, status=201)
    routes.add("GET", "/error_tracking/releases/", list_all)
    routes.add("GET", "/error_tracking/releases/hash/{hash_id}/", by_hash)


def _upload(services: Services) -> Any:
    async def upload(request: Request, set_id: str) -> Response:
        """Take the file of a symbol set: multipart, with the fields of its `presigned_url` first."""
        declared = request.headers.get("content-length", "")
        if not declared.isdecimal():
            raise ApiError(411, "invalid_request", "length_required", "send the Content-Length of the upload")
        if int(declared) > MAX_CONTAINER_BYTES + _MAX_FORM_BYTES:
            raise ApiError(
                413, "invalid_request", "file_too_large", f"a symbol set may have {MAX_CONTAINER_BYTES} bytes"
            )
        try:
            async with request.form(max_files=1, max_fields=20) as form:
                file, token = form.get("file"), form.get("token")
                if not isinstance(file, UploadFile):
                    raise bad_request("file", "the upload needs a part called file")
                await _to_thread(_keep, services, set_id, str(token or ""), file)
        except MultiPartException as error:
            raise bad_request("file", f"the body must be multipart/form-data: {error.message}") from error
        return Response(status_code=204)

    return upload


def _keep(services: Services, set_id: str, token: str, file: UploadFile) -> None:
    with services.database.transaction() as session:
        row = session.get(SymbolSetRow, set_id)
        if row is None or not row.upload_token or not hmac.compare_digest(row.upload_token, token):
            raise ApiError(403, "authentication_error", "permission_denied", "the token of this upload is not valid")
        try:
            store_bytes(session, row, file.file)
        except SymbolError as error:
            raise _refused(error) from error


async def _to_thread(function: Any, *arguments: Any) -> None:
    await asyncio.to_thread(function, *arguments)


def _wanted(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    sets = body.get("symbol_sets")
    if sets is None and isinstance(body.get("chunk_ids"), list):  # older versions of posthog-cli
        sets = [{"chunk_id": chunk, "release_id": body.get("release_id")} for chunk in body["chunk_ids"]]
    if not isinstance(sets, list) or len(sets) > _MAX_SETS or not all(isinstance(each, Mapping) for each in sets):
        raise bad_request("symbol_sets", f"symbol_sets must be a list of up to {_MAX_SETS} objects with chunk_id")
    return sets


def _upload_json(request: Request, services: Services, row: SymbolSetRow) -> dict[str, Any]:
    base = services.settings.public_url or str(request.base_url)
    url = f"{base.rstrip('/')}/api{_UPLOAD.format(set_id=row.id)}"
    return {"presigned_url": {"url": url, "fields": {"token": row.upload_token}}, "symbol_set_id": row.id}


def _set_json(release: ReleaseRow | None, row: SymbolSetRow) -> dict[str, Any]:
    return {
        "id": row.id, "ref": row.ref, "team_id": row.team_id, "created_at": iso(aware(row.created_at)),
        "last_used": iso(aware(row.last_used)) if row.last_used else None,
        "storage_ptr": row.id if row.content_hash and not row.failure_reason else None,
        "failure_reason": row.failure_reason, "release": _release_json(release) if release is not None else None,
    }  # fmt: skip


def _release_json(row: ReleaseRow) -> dict[str, Any]:
    return {
        "id": row.id, "hash_id": row.hash_id, "version": row.version, "project": row.project, "metadata": row.details,
        "created_at": iso(aware(row.created_at)), "team_id": row.team_id,
    }  # fmt: skip


def _refused(error: SymbolError) -> ApiError:
    return ApiError(400, "validation_error", error.code, str(error))
