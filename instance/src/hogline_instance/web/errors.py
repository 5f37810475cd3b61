"""Errors in PostHog's form, `{type, code, detail, attr}`, so that its clients can read them."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.routing import BaseRoute, Match

from hogline_instance.web.security import API_HEADERS

__all__ = [
    "ERROR_SCHEMA",
    "RESPONSES",
    "ApiError",
    "ErrorBody",
    "bad_request",
    "explain_validation",
    "forbidden",
    "invalid_field",
    "method_not_allowed",
    "not_found",
    "unknown_endpoint",
]

ErrorType = Literal["authentication_error", "validation_error", "invalid_request", "server_error", "throttled_error"]


class ErrorBody(BaseModel):
    """The body of every error response."""

    type: ErrorType = Field(description="The kind of error")
    code: str = Field(description="The reason, for programs")
    detail: str = Field(description="What happened and what to do, for people")
    attr: str | None = Field(description="The parameter at fault, or null")


ERROR_SCHEMA = "ErrorBody"
"""The name of the errors' schema in /openapi.json."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    # With `model`, FastAPI would build a validator for each status of each route, at every start.
    status: {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{ERROR_SCHEMA}"}}},
    }
    for status, description in {
        400: "A parameter can't be read; `attr` names it",
        401: "No personal key, or one this instance does not know",
        403: "The key lacks a scope, or has no access to the project",
        404: "No such project, or nothing in it has this id",
        503: "The store refused the query, or it exceeded a limit; `detail` says which",
    }.items()
}


class ApiError(Exception):
    """An error response, raised anywhere below a route."""

    def __init__(self, status: int, kind: ErrorType, code: str, detail: str, attr: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        # The detail may quote the request, and JSON may hold half a surrogate pair.
        plain = detail.encode("utf-8", "replace").decode()
        self.body = ErrorBody(type=kind, code=code, detail=plain, attr=attr)

    def response(self) -> Response:
        """Return the response that the client gets."""
        headers = API_HEADERS | ({"WWW-Authenticate": 'Bearer realm="hogline"'} if self.status == 401 else {})
        return JSONResponse(self.body.model_dump(), self.status, headers)


def bad_request(attr: str, detail: str) -> ApiError:
    """Return the error for parameter *attr*."""
    return ApiError(400, "validation_error", "invalid_input", detail, attr)


def invalid_field(attr: str, code: str, detail: str) -> ApiError:
    """Return the error for a field of a JSON body, with PostHog's *code* (`required`, `unique`).

    A nested field is joined with `__`, as in `filters__groups`.
    """
    return ApiError(400, "validation_error", code, detail, attr)


def forbidden(detail: str) -> ApiError:
    """Return the 403."""
    return ApiError(403, "authentication_error", "permission_denied", detail)


def not_found(detail: str = "Not found.") -> ApiError:
    """Return the 404."""
    return ApiError(404, "invalid_request", "not_found", detail)


def method_not_allowed(detail: str) -> ApiError:
    """Return the 405."""
    return ApiError(405, "invalid_request", "method_not_allowed", detail)


def unknown_endpoint(known: Sequence[BaseRoute]) -> Callable[[Request, str], None]:
    """Return the handler of paths under /api/ that *known* does not serve, or not so."""

    def unknown(request: Request, path: str) -> None:
        scope = {"type": "http", "method": request.method, "path": f"/api/{path}", "root_path": "", "headers": []}
        if any(route.matches(scope)[0] is Match.PARTIAL for route in known):
            raise method_not_allowed(f'Method "{request.method}" not allowed.')
        raise not_found(f"Endpoint not found: /api/{path[:200]}. /openapi.json lists those that exist.")

    return unknown


def explain_validation(error: RequestValidationError) -> ApiError:
    """Return the error for a request that FastAPI could not read."""
    first = error.errors()[0]
    if first.get("type") == "json_invalid":
        return ApiError(
            400, "invalid_request", "parse_error", f"JSON parse error - {first.get('ctx', {}).get('error', '')}"
        )
    where = [str(part) for part in first.get("loc", ()) if part not in {"query", "path", "body", "header"}]
    given = repr(first.get("input"))[:100]
    return bad_request(".".join(where) or "request", f"{first.get('msg', 'Invalid value')}, got {given}")
