"""Values of the bodies that the error tracking API takes."""

from collections.abc import Mapping
from typing import Any

from hogline_instance.web.errors import ApiError, bad_request

__all__ = ["invalid_choice", "read_assignee", "required", "text_list"]


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
    if not isinstance(value, Mapping) or value.get("type") not in {"user", "role"} or value.get("id") in {None, ""}:
        raise bad_request("assignee", 'assignee must be null or {"type": "user" or "role", "id": ...}')
    return {"type": str(value["type"]), "id": str(value["id"])[:64]}
