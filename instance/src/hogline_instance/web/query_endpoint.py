"""`POST .../query/`: one route for the query kinds of all features, in PostHog's envelope.

A feature gives each kind as a function from the project and the query to the fields of the answer.
Source: docs/internals/query-semantics.md#endpoint-and-envelope.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Body

from hogline_instance.project import Project
from hogline_instance.web.auth import Access
from hogline_instance.web.errors import ApiError
from hogline_instance.web.routes import ProjectRoutes

__all__ = ["QueryKind", "build_query_router", "query_error"]

QueryKind: TypeAlias = Callable[[Project, Mapping[str, Any]], Mapping[str, Any]]
# Wrappers say how a client shows a result; the answer is that of their source.
_WRAPPERS = frozenset({"InsightVizNode", "DataTableNode", "DataVisualizationNode"})
_MAX_WRAPPERS = 5


def query_error(detail: str, code: str = "invalid_input") -> ApiError:
    """Return the error for a query that cannot be answered."""
    return ApiError(400, "validation_error", code, detail)


def build_query_router(access: Access, kinds: Mapping[str, QueryKind]) -> APIRouter:
    """Return the routes with and without the kind in the path."""
    routes = ProjectRoutes("query")
    allowed = access.project("query", "read")

    def run_query(body: Annotated[dict[str, Any], Body()], project: Project = allowed) -> dict[str, Any]:  # type: ignore[assignment]
        """Answer a query; `query.kind` names its kind."""
        return _answer(kinds, project, body.get("query"))

    def run_query_of_kind(
        kind: str,
        body: Annotated[dict[str, Any], Body()],
        project: Project = allowed,  # type: ignore[assignment]
    ) -> dict[str, Any]:
        """Answer a query whose kind the path repeats."""
        query = body.get("query")
        if isinstance(query, Mapping) and query.get("kind") != kind:
            raise query_error(f"the path says {kind[:100]!r}, and query.kind {str(query.get('kind'))[:100]!r}")
        return _answer(kinds, project, query)

    routes.add("POST", "/query/", run_query)
    routes.add("POST", "/query/{kind}/", run_query_of_kind)
    return routes.router


def _answer(kinds: Mapping[str, QueryKind], project: Project, query: object) -> dict[str, Any]:
    for _ in range(_MAX_WRAPPERS):
        if isinstance(query, Mapping) and query.get("kind") in _WRAPPERS:
            query = query.get("source")
    if not isinstance(query, Mapping):
        raise query_error('the body must be {"query": {"kind": ...}}')
    run = kinds.get(str(query.get("kind")))
    if run is None:
        known = ", ".join(sorted(kinds)) or "none"
        raise query_error(f"unknown query kind {str(query.get('kind'))[:100]!r}; known kinds: {known}")
    began = time.perf_counter()
    fields = run(project, query)
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {
        "is_cached": False,
        "last_refresh": now,
        "next_allowed_client_refresh": now,
        "cache_key": f"cache_{project.id}_{hashlib.sha256(repr(query).encode()).hexdigest()[:32]}",
        "cache_target_age": None,
        "calculation_trigger": None,
        "timezone": "UTC",
        "timings": [{"k": ".", "t": round(time.perf_counter() - began, 4)}],
        "hogql": None,
        "modifiers": None,
        "error": None,
        "query_status": None,
        "query_id": uuid.uuid4().hex,
        **fields,
    }
