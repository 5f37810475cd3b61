"""Access to the API: by a personal key, or by the cookie of a person who signed in to the pages."""

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.params import Depends as DependsParameter
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hogline_instance.project import Project, ProjectLookup
from hogline_instance.web.errors import ApiError, not_found

__all__ = ["COOKIE", "SESSION_SECONDS", "Access", "PageSessions"]

COOKIE = "hogline_session"
SESSION_SECONDS = 7 * 24 * 3600
_SECRET_FILE = "page-session.key"  # noqa: S105 - a file's name
_SECRET_BYTES = 32
_bearer = HTTPBearer(auto_error=False, description="A personal key (`phx_...`), as `hogline keys` prints it")


class PageSessions:
    """Signed cookies for people who gave the admin password.

    A new password or a removed key file invalidates them all.
    """

    def __init__(self, data_dir: Path, admin_password: str) -> None:
        self._key = hmac.digest(_secret(data_dir / _SECRET_FILE), admin_password.encode(), hashlib.sha256)

    def issue(self, now: float | None = None) -> str:
        """Return a cookie's value, valid for SESSION_SECONDS."""
        expires = str(int((time.time() if now is None else now) + SESSION_SECONDS))
        return f"{expires}.{self._sign(expires)}"

    def accepts(self, value: str, now: float | None = None) -> bool:
        """Return whether `issue` made *value* and it has not expired."""
        expires, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(expires).encode()):
            return False
        return int(expires) > (time.time() if now is None else now)  # signed, so `issue` wrote it

    def _sign(self, expires: str) -> str:
        return hmac.digest(self._key, expires.encode("utf-8", "replace"), hashlib.sha256).hex()


class Access:
    """Decides for every route of the API whether a request may read a project.

    *sessions* are the pages' sign-ins, if the pages have a password.
    """

    def __init__(self, projects: ProjectLookup, sessions: PageSessions | None) -> None:
        self._projects = projects
        self._sessions = sessions

    def project(self) -> DependsParameter:
        """Return the dependency that yields the project, or raises 401, 403 or 404."""

        def allowed(
            request: Request,
            project_id: str,
            bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
            personal_api_key: Annotated[
                str | None, Query(description="The personal key, where a header can't be set")
            ] = None,
        ) -> Project:
            key = bearer.credentials if bearer is not None else personal_api_key
            if key is None and self._signed_in(request):
                return _same(self._projects.current(), project_id)
            return _same(self._owner(key), project_id)

        dependency: DependsParameter = Depends(allowed)
        return dependency

    def _owner(self, key: str | None) -> Project:
        if not key:
            raise ApiError(
                401, "authentication_error", "not_authenticated",
                "Authentication credentials were not provided. Send 'Authorization: Bearer phx_...'; `hogline keys` prints the key.",
            )  # fmt: skip
        if key.startswith("phc_"):
            raise ApiError(
                401, "authentication_error", "authentication_failed",
                "This is a project token (phc_): it may only write events. Reading takes a personal key (phx_); `hogline keys` prints it.",
            )  # fmt: skip
        project = self._projects.by_personal_key(key)
        if project is None:
            raise ApiError(
                401, "authentication_error", "authentication_failed",
                "This instance does not know the personal key. `hogline keys` prints the one it made.",
            )  # fmt: skip
        return project

    def _signed_in(self, request: Request) -> bool:
        # Browsers attach cookies to any request, so a cookie counts only if no other site can have
        # caused the request.
        if self._sessions is None or request.method != "GET":
            return False
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        return self._sessions.accepts(request.cookies.get(COOKIE, ""))


def _same(project: Project, project_id: str) -> Project:
    if project_id in {"@current", str(project.id)}:
        return project
    if not (project_id.isascii() and project_id.isdigit()):
        raise not_found(f"Project not found: {project_id[:50]!r}. Use a number or @current.")
    raise ApiError(
        403, "authentication_error", "permission_denied",
        f"The key belongs to project {project.id} and has no access to project {project_id[:50]}.",
    )  # fmt: skip


def _secret(path: Path) -> bytes:
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        secret = b""
    if len(secret) == _SECRET_BYTES:
        return secret
    fresh = secrets.token_bytes(_SECRET_BYTES)
    partial = path.with_suffix(".new")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, fresh)
    finally:
        os.close(handle)
    partial.replace(path)
    return fresh
