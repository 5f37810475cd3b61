"""What SDKs ask for besides sending: their configuration, flags, their own scripts. Small answers that keep them healthy.

Source: docs/internals/instance-protocol.md#endpoints, docs/internals/instance-protocol.md#config-documents and docs/internals/flags-protocol.md#flags-endpoint.
"""

import hashlib
import re
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec

from hogline_instance.ingest.bodies import BodyError, plain_json
from hogline_instance.ingest.http import Answer, Refusal, Request, json_answer
from hogline_instance.projects import Projects
from hogline_instance.settings import Settings

__all__ = ["Bootstrap"]

_ARRAY = re.compile(r"/array/([A-Za-z0-9_-]{1,64})/(config|config\.js|array\.js)")
_STATIC = re.compile(r"/static/(?:(\d[\w.-]{0,30})/)?([a-z][a-z0-9.-]{0,60}\.js)")
_REMOTE_CONFIG = re.compile(r"/api/projects/[^/]{1,60}/feature_flags/[^/]{1,400}/remote_config")
_DEFINITIONS = frozenset({"/flags/definitions", "/api/feature_flag/local_evaluation"})
_SCRIPT = b"application/javascript; charset=utf-8"
_NO_FLAGS: dict[str, Any] = {"flags": [], "group_type_mapping": {}, "cohorts": {}}
_MAX_FLAGS_BODY_BYTES = 2 * 1024 * 1024


class Bootstrap:
    """Answers the paths that are neither capture nor ours."""

    def __init__(self, settings: Settings, projects: Projects) -> None:
        self._scripts: Path | None = settings.posthog_js_dir
        self._projects = projects
        self._version = _package_version(self._scripts)

    def answer(self, path: str, request: Request) -> Answer | None:
        """Return the answer for *path* (without its last slash), or None: it is nobody's."""
        if path in ("/flags", "/decide"):
            return self._flags(path, request)
        if path in _DEFINITIONS:
            return self._definitions(request)
        if path == "/s":
            return Answer()  # recordings are not kept, and the recorder must not try again
        if path == "/api/surveys":
            return json_answer({"surveys": []})
        if path == "/api/early_access_features":
            return json_answer({"earlyAccessFeatures": []})
        if path == "/api/web_experiments":
            return json_answer({"experiments": []})
        if path == "/api/product_tours":
            return json_answer({"product_tours": []})
        if match := _ARRAY.fullmatch(path):
            return self._array(match[1], match[2])
        if match := _STATIC.fullmatch(path):
            return self._script(match[1], match[2])
        if _REMOTE_CONFIG.fullmatch(path):
            self._require_key(request)
            return _error(404, "not_found", "This flag does not exist.")
        return None

    def _array(self, token: str, name: str) -> Answer:
        config = {
            "token": token,
            "supportedCompression": ["gzip", "gzip-js"],
            "hasFeatureFlags": True,
            "autocapture_opt_out": False,
            "analytics": {"endpoint": "/i/v0/e/"},
            "elementsChainAsString": True,
            "defaultIdentifiedOnly": True,
            "sessionRecording": False,
            "heatmaps": False,
            "capturePerformance": False,
            "autocaptureExceptions": True if self._scripts else False,  # noqa: SIM210 - the SDK wants a boolean
            "captureDeadClicks": False,
        }
        if name == "config":
            return json_answer(config)
        # "</" and the line separators cannot end a script early, wherever this text is put.
        literal = msgspec.json.encode(config).replace(b"<", b"\\u003c")
        script = (
            b"(function(){var c=window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
            b'c["%b"]={config:%b,siteApps:[]};})();\n' % (token.encode(), literal)
        )
        if name == "array.js":
            script += self._script(None, "array.js").body
        return Answer(script, content_type=_SCRIPT)

    def _script(self, version: str | None, name: str) -> Answer:
        if self._scripts is None:
            raise Refusal(
                404, "this instance has no posthog-js: start it with --posthog-js DIR (the npm package's dist folder)"
            )
        if version is not None and self._version is not None and version != self._version:
            # Scripts of another version break the SDK; a 404 makes it ask for the plain name.
            raise Refusal(404, f"this instance has posthog-js {self._version}, not {version}")
        path = self._scripts / name
        if not path.is_file():
            raise Refusal(404, f"posthog-js {self._version or ''} has no {name}")
        return Answer(path.read_bytes(), content_type=_SCRIPT, headers=((b"cache-control", b"public, max-age=300"),))

    def _flags(self, path: str, request: Request) -> Answer:
        if request.method == "GET":
            return json_answer({"flags": {}, "featureFlags": {}, "errorsWhileComputingFlags": False})
        query = request.query
        try:
            text = plain_json(
                request.body,
                content_type=request.header(b"content-type").lower(),
                content_encoding=request.header(b"content-encoding"),
                compression=query.get("compression", "").lower(),
                max_bytes=_MAX_FLAGS_BODY_BYTES,
            )
            body = msgspec.json.decode(text)
        except (BodyError, msgspec.DecodeError) as error:
            raise Refusal(400, f"the body cannot be read: {error}") from error
        if not isinstance(body, dict):
            raise Refusal(400, "the body is not a JSON object")
        if not any(body.get(name) for name in ("token", "$token", "api_key")):
            return _error(401, "authentication_failed", "No project token: send it as 'token'.")
        if body.get("distinct_id") in (None, "") and body.get("$distinct_id") in (None, ""):
            return _error(400, "missing_distinct_id", "No distinct_id.")
        version = query.get("v", "2" if path == "/flags" else "1")
        answer: dict[str, Any] = {
            "errorsWhileComputingFlags": False,
            "requestId": str(uuid.uuid4()),
            "evaluatedAt": int(time.time() * 1000),
        }
        if path == "/decide" and version == "1":
            answer["featureFlags"] = []
        elif (path == "/decide" and version in ("2", "3")) or version == "1":
            answer |= {"featureFlags": {}, "featureFlagPayloads": {}}
        else:
            answer["flags"] = {}
        if query.get("config") == "true" or path == "/decide":
            config = msgspec.json.decode(self._array("x", "config").body)
            answer |= {name: value for name, value in config.items() if name != "token"}
        return json_answer(answer)

    def _definitions(self, request: Request) -> Answer:
        self._require_key(request)
        body = msgspec.json.encode(_NO_FLAGS)
        etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
        headers = ((b"etag", etag), (b"cache-control", b"private, must-revalidate"))
        if request.header(b"if-none-match").encode() == etag:
            return Answer(b"", 304, headers=headers)
        return Answer(body, headers=headers)

    def _require_key(self, request: Request) -> None:
        scheme, _, key = request.header(b"authorization").partition(" ")
        if scheme.lower() != "bearer" or self._projects.by_personal_key(key.strip()) is None:
            raise Refusal(401, "a personal key is needed: Authorization: Bearer phx_... (`hogline keys` prints it)")


def _error(status: int, code: str, detail: str) -> Answer:
    kind = {401: "authentication_error", 404: "invalid_request"}.get(status, "validation_error")
    return json_answer({"type": kind, "code": code, "detail": detail, "attr": None}, status)


def _package_version(scripts: Path | None) -> str | None:
    if scripts is None:
        return None
    try:
        manifest = msgspec.json.decode((scripts.parent / "package.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    version = manifest.get("version") if isinstance(manifest, dict) else None
    return version if isinstance(version, str) else None
