"""Flag endpoints for SDKs: `/flags` and `/decide`, definitions for local evaluation, remote config.

Source: docs/internals/flags-protocol.md#flags-endpoint.
"""

import asyncio
import hashlib
import re
import time
import uuid
from typing import Any

import msgspec

from hogline_instance.ingest import Endpoint, HttpError, Request, Response, error_response, json_response
from hogline_instance.ingest.bodies import BodyError, plain_json
from hogline_instance.ingest.json_text import read_json
from hogline_instance.services import Services

__all__ = ["browser_config", "build_endpoints"]

_FLAGS = re.compile(r"/(flags|decide)")
_DEFINITIONS = re.compile(r"/flags/definitions|/api/feature_flag/local_evaluation")
_REMOTE_CONFIG = re.compile(r"/api/projects/[^/]{1,60}/feature_flags/[^/]{1,400}/remote_config")
_NO_FLAGS: dict[str, Any] = {"flags": [], "group_type_mapping": {}, "cohorts": {}}
_MAX_BODY_BYTES = 2 * 1024 * 1024


def browser_config(_settings: object) -> dict[str, object]:
    """Return the flags' part of posthog-js's config; without it posthog-js never requests flags."""
    return {"hasFeatureFlags": True}


def build_endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Return the endpoints of flags."""
    flags = _FlagEndpoints(services)
    return (
        Endpoint(_FLAGS, flags.evaluate, prefixes=("/flags/",)),
        Endpoint(_DEFINITIONS, flags.definitions, prefixes=("/api/feature_flag/",)),
        Endpoint(_REMOTE_CONFIG, flags.remote_config),
    )


class _FlagEndpoints:
    def __init__(self, services: Services) -> None:
        self._projects = services.projects
        self._config = services.browser_config

    async def evaluate(self, request: Request, match: re.Match[str]) -> Response:
        """Return the enabled flags, in the shape that the request's version expects."""
        if request.method == "GET":
            return json_response({"flags": {}, "featureFlags": {}, "errorsWhileComputingFlags": False})
        query = request.query
        body = _body(request)
        if not any(body.get(name) for name in ("token", "$token", "api_key")):
            return error_response(401, "authentication_failed", "No project token: send it as 'token'.")
        if body.get("distinct_id") in (None, "") and body.get("$distinct_id") in (None, ""):
            return error_response(400, "missing_distinct_id", "No distinct_id.")
        is_decide = match[1] == "decide"
        version = query.get("v", "1" if is_decide else "2")
        answer: dict[str, Any] = {
            "errorsWhileComputingFlags": False,
            "requestId": str(uuid.uuid4()),
            "evaluatedAt": int(time.time() * 1000),
        }
        if is_decide and version == "1":
            answer["featureFlags"] = []
        elif (is_decide and version in ("2", "3")) or version == "1":
            answer |= {"featureFlags": {}, "featureFlagPayloads": {}}
        else:
            answer["flags"] = {}
        if query.get("config") == "true" or is_decide:
            # posthog-js up to 1.96 begins to capture clicks only when it reads this.
            answer |= {**self._config, "config": {"enable_collect_everything": True}}
        return json_response(answer)

    async def definitions(self, request: Request, _match: re.Match[str]) -> Response:
        """Return the definitions for local evaluation, or 304 while they are unchanged."""
        await self._require_key(request)
        body = msgspec.json.encode(_NO_FLAGS)
        etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
        headers = ((b"etag", etag), (b"cache-control", b"private, must-revalidate"))
        if request.header(b"if-none-match").encode() == etag:
            return Response(b"", 304, headers=headers)
        return Response(body, headers=headers)

    async def remote_config(self, request: Request, _match: re.Match[str]) -> Response:
        """Return the payload of one flag."""
        await self._require_key(request)
        return error_response(404, "not_found", "This flag does not exist.")

    async def _require_key(self, request: Request) -> None:
        scheme, _, key = request.header(b"authorization").partition(" ")
        project = None
        if scheme.lower() == "bearer":
            project = await asyncio.to_thread(self._projects.by_personal_key, key.strip())
        if project is None:
            raise HttpError(401, "a personal key is needed: Authorization: Bearer phx_... (`hogline keys` prints it)")


def _body(request: Request) -> dict[str, Any]:
    try:
        text = plain_json(
            request.body,
            content_type=request.header(b"content-type").lower(),
            content_encoding=request.header(b"content-encoding"),
            compression=request.query.get("compression", "").lower(),
            max_bytes=_MAX_BODY_BYTES,
        )
        body = read_json(text)
    except BodyError as error:
        raise HttpError(400, f"the body cannot be read: {error}") from error
    if not isinstance(body, dict):
        raise HttpError(400, "the body is not a JSON object")
    return body
