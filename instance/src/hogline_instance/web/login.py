"""Signing in to the pages, where an admin password is set: the password, then a signed cookie."""

import hmac
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from hogline_instance.settings import Settings
from hogline_instance.web.auth import COOKIE, SESSION_SECONDS, PageSessions
from hogline_instance.web.security import PAGE_HEADERS
from hogline_instance.web.templating import Templates

__all__ = ["LoginGuard", "NotSignedInError", "Throttle", "build_router"]

_MAX_FORM_BYTES = 8_192


class NotSignedInError(Exception):
    """A page was requested without a valid cookie."""


@dataclass(slots=True)
class Throttle:
    """Allows *limit* failures per *window_s* seconds from each client.

    There is no common limit: attackers would use it to lock out the owner.
    """

    limit: int = 5
    window_s: float = 60.0
    max_addresses: int = 1_000
    _failures: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def wait_s(self, address: str, now: float) -> float:
        """Return the seconds until *address* may try again; 0 if it may now."""
        with self._lock:
            return self._wait(address, self.limit, now)

    def failed(self, address: str, now: float) -> None:
        """Count a failure."""
        with self._lock:
            self._failures.setdefault(address, deque(maxlen=self.limit)).append(now)
            self._failures.move_to_end(address)
            while len(self._failures) > self.max_addresses:
                self._failures.popitem(last=False)

    def _wait(self, name: str, limit: int, now: float) -> float:
        recent = [moment for moment in self._failures.get(name, ()) if now - moment < self.window_s]
        return 0.0 if len(recent) < limit else self.window_s - (now - recent[-limit])


class LoginGuard:
    """Guards the pages, and limits failed sign-ins."""

    def __init__(self, settings: Settings) -> None:
        self._password = settings.admin_password
        self.sessions = PageSessions(settings.data_dir, self._password) if self._password else None
        """The cookies of people who signed in; None if the pages have no password."""
        self.throttle = Throttle()

    def check(self, request: Request) -> None:
        """Raise NotSignedInError unless the pages have no password or the cookie is valid.

        A FastAPI dependency.
        """
        if self.sessions is not None and not self.sessions.accepts(request.cookies.get(COOKIE, "")):
            raise NotSignedInError

    def try_password(self, given: str) -> str | None:
        """Return a cookie's value for the right password, else None, in constant time."""
        right = self.sessions is not None and hmac.compare_digest(given.encode(), (self._password or "").encode())
        return self.sessions.issue() if right and self.sessions is not None else None


def build_router(guard: LoginGuard, templates: Templates) -> APIRouter:
    """Return the sign-in page and its two actions."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    def get_login(request: Request, next: str = "/") -> Response:  # noqa: A002 - the query's name
        return templates.page(request, "login.html", next=_local_path(next), problem="")

    @router.post("/login")
    async def post_login(request: Request) -> Response:
        form = await _form(request)
        target = _local_path(form.get("next", "/"))
        address = request.client.host if request.client else "unknown"
        wait_s = guard.throttle.wait_s(address, time.monotonic())
        if wait_s:
            page = templates.page(
                request, "login.html", 429, next=target, problem=f"Too many attempts. Try again in {wait_s:.0f} s."
            )
            page.headers["Retry-After"] = str(int(wait_s) + 1)
            return page
        cookie = guard.try_password(form.get("password", ""))
        if cookie is None:
            guard.throttle.failed(address, time.monotonic())
            return templates.page(request, "login.html", 403, next=target, problem="That is not the admin password.")
        answer = RedirectResponse(target, 303, PAGE_HEADERS)
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @router.post("/logout")
    def post_logout() -> Response:
        answer = RedirectResponse("/login", 303, PAGE_HEADERS)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return router


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            return {}
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
    return {name: values[-1] for name, values in fields.items()}


def _local_path(target: str) -> str:
    """Return *target* when it stays on this origin, else '/'.

    Browsers read a backslash as a slash.
    """
    safe = (
        target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable() and len(target) < 2_000
    )
    return target if safe else "/"
