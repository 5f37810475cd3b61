"""The OpenAPI documents that Connexion serves in tests."""

from typing import Any

_INTEGERS = ("status", "delay_ms", "number")
_QUERIES = {"/slow": "delay_ms", "/validate": "number"}


def specification(paths: Any, base: str = "/") -> dict[str, Any]:
    """Return an OpenAPI document whose operations are named by their paths."""
    return {
        "openapi": "3.0.0",
        "info": {"title": "shop", "version": "1"},
        "servers": [{"url": base}],
        "paths": {path: {"post" if path == "/checkout" else "get": _operation(path)} for path in paths},
    }


def _operation(path: str) -> dict[str, Any]:
    within = [("path", part.strip("{}")) for part in path.split("/") if part.startswith("{")]
    if path in _QUERIES:
        within.append(("query", _QUERIES[path]))
    parameters = [
        {"name": name, "in": where, "required": True, "schema": {"type": "integer" if name in _INTEGERS else "string"}}
        for where, name in within
    ]
    return {"operationId": path, "parameters": parameters, "responses": {"200": {"description": "ok"}}}
