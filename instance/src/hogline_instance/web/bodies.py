"""Bodies of requests to the API and the pages: JSON objects and forms, within a limit."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias
from urllib.parse import parse_qsl

import orjson
from fastapi import Depends, Request

from hogline_instance.web.errors import ApiError

__all__ = ["Form", "JsonObject", "form_text", "read_body", "read_form", "read_json_object"]

_MAX_BODY_BYTES = 8 * 1024 * 1024
_MAX_FORM_FIELDS = 5_000


async def read_body(request: Request, max_bytes: int = _MAX_BODY_BYTES) -> bytes:
    """Return the body of *request*; the result is kept for a second call.

    Raises ApiError: the body exceeds *max_bytes*.
    """
    known: bytes | None = getattr(request.state, "body", None)
    if known is not None:
        return known
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise ApiError(413, "invalid_request", "request_too_large", f"The body has more than {max_bytes} bytes.")
        chunks.append(chunk)
    request.state.body = body = b"".join(chunks)
    return body


async def read_json_object(request: Request) -> dict[str, Any]:
    """Return the body as a JSON object; an empty body is an empty object. A FastAPI dependency.

    Raises ApiError: the body is not JSON, or not an object.
    """
    body = await read_body(request)
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "invalid_request", "parse_error", f"JSON parse error - {error}") from error
    if not isinstance(value, dict):
        raise ApiError(
            400, "validation_error", "invalid_input", "Invalid data. Expected a dictionary, but got a JSON value of another kind."
        )  # fmt: skip
    return value


async def read_form(request: Request) -> Mapping[str, list[str]]:
    """Return the fields of a posted form, each with its values in order. A FastAPI dependency."""
    body = await read_body(request)
    fields: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS)
    except ValueError as error:
        raise ApiError(
            400, "invalid_request", "parse_error", f"The form has more than {_MAX_FORM_FIELDS} fields."
        ) from error
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def form_text(form: Mapping[str, Sequence[str]], name: str) -> str:
    """Return the last value of a field, or an empty text without the field."""
    return (form.get(name) or [""])[-1]


JsonObject: TypeAlias = Annotated[dict[str, Any], Depends(read_json_object)]
"""The parameter of a route that takes a JSON object."""
Form: TypeAlias = Annotated[Mapping[str, list[str]], Depends(read_form)]
"""The parameter of a page that takes a posted form."""
