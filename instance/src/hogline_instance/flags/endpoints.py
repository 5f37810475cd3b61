"""Flag endpoints for SDKs: `/flags` and `/decide`, definitions for local evaluation, remote config.

Source: docs/internals/flags-protocol.md#flags-endpoint.
"""

import asyncio
import re
import time
import uuid
from typing import Any

from hogline_instance.errors import BrowserRules
from hogline_instance.flags import early_access
from hogline_instance.flags.answers import Answer, answers, legacy_flags, subject_of, v2_flags
from hogline_instance.flags.evaluation import evaluate, evaluate_at_once
from hogline_instance.flags.flag_set import FlagSet, flag_sets
from hogline_instance.flags.neighbours import StoredPeople
from hogline_instance.flags.remote_config import PayloadCipher, payload_of
from hogline_instance.flags.request import FlagsRequest, NoDistinctIdError, read_flags_request, token_of
from hogline_instance.ingest import Endpoint, HttpError, Request, Response, error_response, json_response
from hogline_instance.ingest.bodies import BodyError, plain_json
from hogline_instance.ingest.json_text import read_json
from hogline_instance.project import Project
from hogline_instance.projects import FLAGS, config_of, has_no_quota
from hogline_instance.services import Services

__all__ = ["browser_config", "build_endpoints"]

_FLAGS = re.compile(r"/(flags|decide)")
_DEFINITIONS = re.compile(
    r"/flags/definitions|/api/feature_flag/local_evaluation"
    r"|/api/(?:projects|environments)/(?P<project>[^/]{1,60})/feature_flags/local_evaluation"
)
_REMOTE_CONFIG = re.compile(r"/api/(?:projects|environments)/([^/]{1,60})/feature_flags/([^/]{1,400})/remote_config")
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
        Endpoint(early_access.PATH, early_access.PublicFeatures(services).answer, prefixes=("/api/early_access",)),
    )


class _FlagEndpoints:
    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._projects = services.projects
        self._config = services.browser_config
        self._rules = BrowserRules(services.database)
        self._sets = flag_sets(services.database)
        self._cipher = PayloadCipher(services.settings.data_dir)

    async def evaluate(self, request: Request, match: re.Match[str]) -> Response:
        """Return the flags' values, in the shape that the request's version expects."""
        if request.method == "GET":
            return json_response({"flags": {}, "featureFlags": {}, "errorsWhileComputingFlags": False})
        body = _body(request)
        token = token_of(body)
        project = self._projects.by_token(token)
        if project is None:
            detail = f"This instance does not know the project token {token[:64]!r}." if token else "No project token: send it as 'token'."  # fmt: skip
            return error_response(401, "authentication_failed", detail)
        try:
            asked = read_flags_request(body, request.headers, request.query)
        except NoDistinctIdError:
            return error_response(400, "missing_distinct_id", "No distinct_id: send a text or a number.")
        is_limited = has_no_quota(project, FLAGS)
        found, failed = ([], False) if is_limited else await self._answers(project, self._sets.of(project.id), asked)
        is_decide = match[1] == "decide"
        answer = self._answer(found, failed, request.query, is_decide=is_decide)
        if is_limited:
            answer["quotaLimited"] = [FLAGS]
        if request.query.get("config") == "true" or is_decide:
            config = config_of(project, self._config, request.header(b"origin"))
            answer |= {**config, "errorTracking": await self._rules.config(project.id, config)}
            # posthog-js up to 1.96 begins to capture clicks only when it reads this.
            answer["config"] = {"enable_collect_everything": True}
        return json_response(answer)

    async def _answers(self, project: Project, flags: FlagSet, asked: FlagsRequest) -> tuple[list[Answer], bool]:
        if asked.is_disabled or not flags.flags:
            return [], False
        if not flags.reads_people:
            return answers(flags, asked, subject_of(flags, asked, StoredPeople(), {})), False
        # A thread costs more than the evaluation itself, and most requests need none.
        found = evaluate_at_once(self._database, flags, project.id, asked)
        if found is not None:
            return found
        return await asyncio.to_thread(evaluate, self._database, flags, project.id, asked)

    def _answer(self, found: list[Answer], failed: bool, query: dict[str, str], *, is_decide: bool) -> dict[str, Any]:
        version = query.get("v", "1" if is_decide else "2")
        answer: dict[str, Any] = {
            "errorsWhileComputingFlags": failed or any(each.value is None for each in found),
            "requestId": str(uuid.uuid4()),
            "evaluatedAt": int(time.time() * 1000),
        }
        if version != "1" and not (is_decide and version in {"2", "3"}):
            return {**answer, "flags": v2_flags(found)}
        values, payloads = legacy_flags(found)
        active = {key: value for key, value in values.items() if value is not False}
        if is_decide and version == "1":
            return {**answer, "featureFlags": list(active)}
        return {
            **answer,
            "featureFlags": active if is_decide and version == "2" else values,
            "featureFlagPayloads": payloads,
        }

    async def definitions(self, request: Request, match: re.Match[str]) -> Response:
        """Return the definitions for local evaluation, or 304 while they are unchanged."""
        named = match.groupdict().get("project")
        project, _ = await self._authenticated(request, named)
        if has_no_quota(project, FLAGS):
            # SDKs then clear the definitions that they have.
            return error_response(402, "payment_required", "The project's quota of flag requests is used up.")
        flags = self._sets.of(project.id)
        headers = ((b"etag", flags.etag), (b"cache-control", b"private, must-revalidate"))
        if request.header(b"if-none-match").encode() == flags.etag:
            return Response(b"", 304, headers=headers)
        return Response(flags.definitions, headers=headers)

    async def remote_config(self, request: Request, match: re.Match[str]) -> Response:
        """Return the payload of one flag, as JSON text in a JSON string."""
        project, _ = await self._authenticated(request, match[1])
        text = await asyncio.to_thread(payload_of, self._database, self._cipher, project.id, match[2])
        if text is None:
            return error_response(404, "not_found", "This flag does not exist.")
        return json_response(text)

    async def _authenticated(self, request: Request, named: str | None) -> tuple[Project, bool]:
        """Return the project of the request's key, and whether it is a secret key."""
        scheme, _, key = request.header(b"authorization").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
        asked = self._projects.by_token(request.query.get("token", "")) if request.query.get("token") else None
        if named is not None and named != "@current":
            asked = self._projects.by_id(int(named[:10])) if named.isascii() and named.isdigit() else None
            if asked is None:
                raise HttpError(404, f"this instance has no project {named}")
        if (own := self._projects.by_secret_token(key) if key else None) is not None:
            if asked is not None and asked.id != own.id:
                raise HttpError(403, "the secret key belongs to another project than the token")
            return own, True
        known = await asyncio.to_thread(self._projects.find_personal_key, key) if key else None
        if known is None:
            raise HttpError(
                401, "a personal key (phx_...) or a project's secret key (phs_...) is needed: Authorization: Bearer phx_... (`hogline keys` prints it)"
            )  # fmt: skip
        project = asked or known.project
        if not known.allows("feature_flag:read") or not known.reaches(project.id):
            raise HttpError(403, "the key may not read the flags of this project; it needs the scope feature_flag:read")
        return project, False


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
