"""The site: templates, and routers whose pages require the login and whose errors are pages."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.routing import APIRoute

from hogline_instance.exceptions import StoreError
from hogline_instance.project import CHOSEN_PROJECT
from hogline_instance.web import paths  # noqa: F401 - registers {name:text} for all routes
from hogline_instance.web.errors import ApiError
from hogline_instance.web.login import LoginGuard, NotSignedInError
from hogline_instance.web.refusals import refusal_of
from hogline_instance.web.security import PAGE_HEADERS
from hogline_instance.web.templating import Templates

__all__ = ["PROJECT_COOKIE", "Site", "choose_project"]

PROJECT_COOKIE = "hogline_project"
"""The cookie that holds the id of the project whose pages a visitor sees."""
_COOKIE_SECONDS = 365 * 24 * 3600


class Site:
    """The pages of an instance, to which each feature adds its own."""

    def __init__(self, templates: Templates, guard: LoginGuard) -> None:
        self.templates = templates
        self.guard = guard

    def router(self, *pages: tuple[str, str, Callable[..., Any]]) -> APIRouter:
        """Return a router that requires the login and shows errors as pages.

        *pages* are methods, paths and handlers. Their routes are not in the OpenAPI schema.
        """
        router = APIRouter(
            route_class=_page_route(self.templates), dependencies=[Depends(self.guard.check)], include_in_schema=False
        )
        for method, path, handler in pages:
            router.add_api_route(path, handler, methods=[method], response_model=None)
        return router


def choose_project(answer: Response, project_id: int) -> None:
    """Let the visitor see the pages of this project from now on."""
    answer.set_cookie(PROJECT_COOKIE, str(project_id), max_age=_COOKIE_SECONDS, httponly=True, samesite="strict")


def _page_route(templates: Templates) -> type[APIRoute]:
    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                # Links in mail and chat name the project: the visitor may have chosen another one.
                linked = _project_id(request.query_params.get("project", ""))
                CHOSEN_PROJECT.set(linked or _project_id(request.cookies.get(PROJECT_COOKIE, "")))
                try:
                    answer = await handler(request)
                    if linked is not None and answer.status_code < 300:
                        choose_project(answer, linked)
                    return answer
                except NotSignedInError:
                    return _to_login(request)
                except ApiError as error:
                    return templates.problem(request, error.status, error.body.detail)
                except StoreError as error:
                    return templates.problem(request, 503, str(error)[:1_000])
                except RequestValidationError as error:
                    reasons = "; ".join(str(item.get("msg")) for item in error.errors())
                    return templates.problem(request, 400, reasons[:500])
                except Exception as error:
                    if (refusal := refusal_of(error, request)) is None:
                        raise
                    return templates.problem(request, refusal.status, refusal.body.detail)

            return guarded

    return PageRoute


def _project_id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _to_login(request: Request) -> Response:
    # A script sent the request and could not show the login page.
    if request.url.path.startswith("/ui/"):
        return JSONResponse({"detail": "Sign in first."}, 401, PAGE_HEADERS)
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", 303, PAGE_HEADERS)
