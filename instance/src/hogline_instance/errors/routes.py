"""Routes of `/api/projects/{id}/error_tracking/...` and of the same paths under `environments`."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter

from hogline_instance.web.errors import RESPONSES, ApiError, bad_request

__all__ = ["Routes", "invalid_choice", "required"]

_BASES = ("/projects/{project_id}/error_tracking", "/environments/{project_id}/error_tracking")


class Routes:
    """Adds each route to *router* four times: for both prefixes, with and without a trailing slash."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router

    def add(self, method: str, path: str, handler: Callable[..., Any], status: int = 200) -> None:
        """Add *handler*; the first of its paths is in the OpenAPI schema."""
        for base in _BASES:
            for end in ("/", ""):
                self._router.add_api_route(
                    f"{base}/{path}{end}", handler, methods=[method], status_code=status, responses=RESPONSES,
                    include_in_schema=base == _BASES[0] and end == "/", response_model=None,
                )  # fmt: skip


def required(body: Mapping[str, Any], name: str) -> Any:
    """Return a value of the body. Raises ApiError: it is missing."""
    if name not in body:
        raise ApiError(400, "validation_error", "required", f"{name} is required.", name)
    return body[name]


def invalid_choice(name: str, value: object) -> ApiError:
    """Return the error for a value that is none of the choices."""
    return ApiError(400, "validation_error", "invalid_choice", f'"{str(value)[:100]}" is not a valid choice.', name)


def text_list(body: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of texts of the body. Raises ApiError."""
    value = required(body, name)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise bad_request(name, f"{name} must be a list of texts")
    return value
