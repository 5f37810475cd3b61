"""Values of the bodies that the error tracking API takes."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Request

from hogline_instance.web.bodies import read_body, read_json_object
from hogline_instance.web.errors import ApiError, bad_request

__all__ = ["PlainObject", "invalid_choice", "read_assignee", "read_plain_object", "required", "text_list"]


async def read_plain_object(request: Request) -> dict[str, Any]:
    """Return the body as a JSON object. A FastAPI dependency.

    Raises ApiError: it is none, or has a NUL or half a surrogate pair, which databases refuse.
    """
    found = await read_json_object(request)
    if b"\\u0000" in await read_body(request):
        raise ApiError(400, "invalid_request", "parse_error", "The body may not hold the character NUL.")
    return found


PlainObject: TypeAlias = Annotated[dict[str, Any], Depends(read_plain_object)]
"""The parameter of a route that takes a JSON object of texts that can be stored."""


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


def read_assignee(value: object) -> dict[str, str] | None:
    """Return an assignee of a body. Raises ApiError: it has no type and id."""
    if value is None:
        return None
    found = (value.get("type"), value.get("id")) if isinstance(value, Mapping) else (None, None)
    is_id = isinstance(found[1], (str, int)) and not isinstance(found[1], bool) and found[1] != ""
    if found[0] not in ("user", "role") or not is_id:
        raise bad_request("assignee", 'assignee must be null or {"type": "user" or "role", "id": ...}')
    return {"type": str(found[0]), "id": str(found[1])[:64]}
