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
from starlette.concurrency import run_in_threadpool

from hogline_instance.project import PersonalKey, Project, ProjectLookup
from hogline_instance.web.bodies import read_json_object
from hogline_instance.web.errors import ApiError, forbidden, not_found

__all__ = ["COOKIE", "SESSION_SECONDS", "Access", "PageSessions"]

COOKIE = "hogline_session"
SESSION_SECONDS = 7 * 24 * 3600
_SECRET_FILE = "page-session.key"  # noqa: S105 - a file's name
_SECRET_BYTES = 32
_KEY_IN_QUERY = "The personal key, where a header can't be set"
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
    """Decides for every route of the API whether a request may act, and on which project.

    *sessions* are the pages' sign-ins, if the pages have a password.
    """

    def __init__(self, projects: ProjectLookup, sessions: PageSessions | None) -> None:
        self._projects = projects
        self._sessions = sessions

    def project(self, scope: str = "query", action: str | None = None) -> DependsParameter:
        """Return the dependency that yields the project, or raises 401, 403 or 404.

        *scope* is the kind of object that the key must be allowed, such as `person`. The method
        decides between reading and writing unless *action* (`read` or `write`) does.
        """

        async def allowed(
            request: Request,
            project_id: str,
            bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
            personal_api_key: Annotated[str | None, Query(description=_KEY_IN_QUERY)] = None,
        ) -> Project:
            key = await _sent_key(request, bearer, personal_api_key)
            if key is None and self._signed_in(request):
                return self._named(project_id, self._projects.current())
            known = await run_in_threadpool(self._known, key)
            _require_scope(known, request, scope, action)
            project = self._named(project_id, known.project)
            if not known.reaches(project.id):
                raise forbidden(f"The key has no access to project {project.id}; it may act on {_list(known)}.")
            return project

        dependency: DependsParameter = Depends(allowed)
        return dependency

    def key(self, scope: str | None = None, action: str | None = None) -> DependsParameter:
        """Return the dependency that yields the personal key, for routes outside a project.

        Without *scope* any key will do.
        """

        async def allowed(
            request: Request,
            bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
            personal_api_key: Annotated[str | None, Query(description=_KEY_IN_QUERY)] = None,
        ) -> PersonalKey:
            key = await _sent_key(request, bearer, personal_api_key)
            if key is None and self._signed_in(request):
                return PersonalKey(0, "", self._projects.current())
            known = await run_in_threadpool(self._known, key)
            if scope is not None:
                _require_scope(known, request, scope, action)
            return known

        dependency: DependsParameter = Depends(allowed)
        return dependency

    def _known(self, key: str | None) -> PersonalKey:
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
        known = self._projects.find_personal_key(key)
        if known is None:
            raise ApiError(
                401, "authentication_error", "authentication_failed",
                "This instance does not know the personal key. `hogline keys` prints the one it made.",
            )  # fmt: skip
        return known

    def _named(self, project_id: str, current: Project) -> Project:
        """Return the project of a path: *current* for `@current`, else the one with that id."""
        if project_id in {"@current", str(current.id)}:
            return current
        if not (project_id.isascii() and project_id.isdigit()):
            raise not_found(f"Project not found: {project_id[:50]!r}. Use a number or @current.")
        project = self._projects.by_id(int(project_id[:10]))
        if project is None:
            raise not_found(f"Project not found: this instance has no project {project_id[:50]}.")
        return project

    def _signed_in(self, request: Request) -> bool:
        # Browsers attach cookies to any request, so a cookie counts only if no other site can have
        # caused the request.
        if self._sessions is None or request.method != "GET":
            return False
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        return self._sessions.accepts(request.cookies.get(COOKIE, ""))


async def _sent_key(
    request: Request, bearer: HTTPAuthorizationCredentials | None, personal_api_key: str | None
) -> str | None:
    """Return the personal key of a request: the header counts first, then the body, the query."""
    if bearer is not None:
        return bearer.credentials
    if request.method in {"POST", "PATCH", "PUT"} and "json" in request.headers.get("content-type", ""):
        sent = (await read_json_object(request)).get("personal_api_key")
        if isinstance(sent, str) and sent:
            return sent
    return personal_api_key


def _require_scope(key: PersonalKey, request: Request, scope: str, action: str | None) -> None:
    wanted = f"{scope}:{action or ('read' if request.method in {'GET', 'HEAD'} else 'write')}"
    if not key.allows(wanted):
        raise forbidden(f"API key missing required scope '{wanted}'")


def _list(key: PersonalKey) -> str:
    return ", ".join(str(each) for each in sorted(key.project_ids or ())) or "none"


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
