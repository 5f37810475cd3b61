"""Capture v1: `POST /i/v1/analytics/events`, with a result for each event.

Source: docs/internals/instance-protocol.md#capture-v1.

The instance implements it because SDKs retry a 404 four times for each batch and then drop it.
"""

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from hogline.wire.values import serialise
from hogline_instance.ingest.admission import RequestFacts, admit
from hogline_instance.ingest.bodies import BodyError, BodyTooLargeError, plain_json
from hogline_instance.ingest.capture import LargeBodyError
from hogline_instance.ingest.http import Request, Response, json_response
from hogline_instance.ingest.json_text import read_json
from hogline_instance.ingest.payloads import IncomingBatch, IncomingEvent
from hogline_instance.ingest.refusals import Refusals
from hogline_instance.ingest.times import parse_time
from hogline_instance.project import Project, ProjectLookup
from hogline_instance.settings import Settings

__all__ = ["PATH", "CaptureV1"]

PATH = "/i/v1/analytics/events"
_OPTIONS = {
    "cookieless_mode": "$cookieless_mode",
    "disable_skew_correction": "$ignore_sent_at",
    "process_person_profile": "$process_person_profile",
    "product_tour_id": "$product_tour_id",
}
_PERSONLESS = frozenset(
    {
        "0", "[object object]", "anonymous", "anonymous-user", "backend", "distinct_id", "distinctid", "email", "false", "guest",
        "id", "nan", "none", "not_authenticated", "null", "system", "true", "undefined", "user", "00000000-0000-0000-0000-000000000000",
    }
)  # fmt: skip
_MAX_BYTES_OF_NAME = 200
_ATTEMPT = re.compile(r"[1-9][0-9]{0,8}")


class _Error(Exception):
    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


class CaptureV1:
    """Turns a v1 request into rows and the result of each of its events."""

    def __init__(self, settings: Settings, projects: ProjectLookup, refusals: Refusals) -> None:
        self._max_plain_bytes = settings.max_decompressed_bytes
        self._max_event_bytes = settings.max_event_bytes
        self._max_events = settings.max_request_events
        self._projects = projects
        self._refusals = refusals

    def admit(self, request: Request, max_bytes: int | None = None) -> tuple[Response, list[bytes]]:
        """Return the response to send once the rows are on disk, and the rows.

        *max_bytes* limits the decoded body further than the option does.
        Raises LargeBodyError: the body decodes to more.
        """
        try:
            return self._admit(request, max_bytes)
        except _Error as error:
            described = {
                "error": error.code,
                "error_description": error.text,
                "error_uri": "https://posthog.com/docs/api/capture",
            }
            return json_response(described, error.status), []

    def _admit(self, request: Request, max_bytes: int | None) -> tuple[Response, list[bytes]]:
        token, library, version, sent_at = _headers(request)
        body = self._body(request, max_bytes)
        events = body.get("batch")
        if not isinstance(events, list) or not events:
            raise _Error(400, "empty_batch", "'batch' must be a list with at least one event")
        if len(events) > self._max_events:
            raise _Error(
                413, "payload_too_large", f"a batch may have {self._max_events} events, this one has {len(events)}"
            )
        if parse_time(body.get("created_at")) is None:
            raise _Error(400, "invalid_batch", "'created_at' must be an RFC 3339 time")
        known = [(given, event) for event in events if (given := _identity(event)) is not None]
        if not known:
            named = any(isinstance(event, dict) and event.get("uuid") for event in events)
            code = "invalid_event_uuid" if named else "missing_event_uuid"
            raise _Error(400, code, "no event of the batch has a uuid that is one")
        if len(known) < len(events):
            self._refusals.refuse({"an event's uuid is not a UUID": len(events) - len(known)})
        project = self._projects.by_token(token)
        arrival = RequestFacts(datetime.now(UTC), request.ip, sent_at)
        results: dict[str, dict[str, str]] = {}
        rows: list[bytes] = []
        for identity, event in known:
            if identity in results:
                self._refusals.refuse({"duplicate_event_uuid": 1})
                continue
            incoming = _incoming(event, identity, library, version)
            reason = incoming if isinstance(incoming, str) else self._keep(incoming, project, token, arrival, rows)
            if reason:
                results[identity] = {"result": "drop", "details": reason}
            elif event["distinct_id"].strip().lower() in _PERSONLESS:
                results[identity] = {"result": "ok", "details": "person_processing_disabled"}
            else:
                results[identity] = {"result": "ok"}
            if isinstance(incoming, str):
                self._refusals.refuse({reason: 1})
        echo = (b"posthog-request-id", request.headers.get(b"posthog-request-id", b""))
        return json_response({"results": results}, headers=(echo,)), rows

    def _keep(
        self, incoming: IncomingEvent, project: Project | None, token: str, arrival: RequestFacts, rows: list[bytes]
    ) -> str:
        """Add the row of *incoming* to *rows*; return why it is dropped, or ""."""
        if project is None:
            self._refusals.refuse_token(token, 1)
            return ""  # PostHog's edge responds so, since it does not know projects
        admitted = admit(IncomingBatch([incoming]), project.id, arrival, max_event_bytes=self._max_event_bytes)
        rows += admitted.rows
        if admitted.mended:
            self._refusals.mend(admitted.mended)
        if admitted.refused:
            self._refusals.refuse(admitted.refused)
        return "; ".join(admitted.refused)

    def _body(self, request: Request, max_bytes: int | None) -> dict[str, Any]:
        try:
            text = plain_json(
                request.body,
                content_type="application/json",
                content_encoding=request.header(b"content-encoding"),
                compression="",
                max_bytes=self._max_plain_bytes if max_bytes is None else max_bytes,
            )
        except BodyTooLargeError as error:
            if max_bytes is not None:
                raise LargeBodyError from None
            raise _Error(413, "payload_too_large", str(error)) from error
        except BodyError as error:
            raise _Error(400, "request_decoding_error", str(error)) from error
        try:
            body = read_json(text)
        except BodyError as error:
            raise _Error(400, "request_parsing_error", str(error)) from error
        if not isinstance(body, dict):
            raise _Error(400, "request_parsing_error", "the body's JSON is not an object")
        return body


def _headers(request: Request) -> tuple[str, str, str, datetime]:
    """Return token, library, its version and the client's time.

    Raises _Error: a header is missing or wrong.
    """
    scheme, _, token = request.header(b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _Error(401, "invalid_api_token", "Authorization must be 'Bearer <project token>'")
    info = request.header(b"posthog-sdk-info")
    attempt = request.header(b"posthog-attempt")
    sent_at = parse_time(request.header(b"posthog-request-timestamp"))
    if not info or not attempt or not request.header(b"posthog-request-id") or not request.header(b"user-agent"):
        raise _Error(
            400,
            "missing_required_headers",
            "PostHog-Sdk-Info, -Attempt, -Request-Id, -Request-Timestamp and User-Agent are needed",
        )
    if not _ATTEMPT.fullmatch(attempt) or sent_at is None or not _is_uuid(request.header(b"posthog-request-id")):
        raise _Error(
            400,
            "invalid_header_value",
            "PostHog-Attempt counts from 1, -Request-Id is a UUID, -Request-Timestamp is RFC 3339",
        )
    library, _, version = info.partition("/")
    return token.strip(), library, version, sent_at


def _identity(event: Any) -> str | None:
    """Return the uuid as the client wrote it, for the response; None if it is not a uuid."""
    given = event.get("uuid") if isinstance(event, dict) else None
    return given if isinstance(given, str) and _is_uuid(given) else None


def _is_uuid(text: str) -> bool:
    try:
        return text.isascii() and bool(uuid.UUID(text))
    except ValueError:
        return False


def _incoming(event: dict[str, Any], identity: str, library: str, version: str) -> IncomingEvent | str:
    """Return the event in the legacy form, or the reason to drop it."""
    name, distinct_id, timestamp = event.get("event"), event.get("distinct_id"), event.get("timestamp")
    properties, options = event.get("properties", {}), event.get("options", {})
    if not isinstance(name, str) or not name.strip():
        return "missing_event_name"
    if len(name.encode("utf-8", "replace")) > _MAX_BYTES_OF_NAME:
        return "event_name_too_long"
    if not isinstance(distinct_id, str) or not distinct_id.strip():
        return "missing_distinct_id"
    if len(distinct_id.encode("utf-8", "replace")) > _MAX_BYTES_OF_NAME:
        return "distinct_id_too_large"
    if not isinstance(timestamp, str) or parse_time(timestamp) is None:
        return "invalid_event_timestamp"
    if not isinstance(properties, dict):
        return "malformed_event_properties"
    if not isinstance(options, dict):
        return "invalid_options"
    options_of_event = {_OPTIONS[option]: value for option, value in options.items() if option in _OPTIONS}
    session = {f"${key}": event[key] for key in ("session_id", "window_id") if isinstance(event.get(key), str)}
    merged = {"$lib": library, "$lib_version": version, **properties, **session, **options_of_event}
    return IncomingEvent(
        event=name,
        distinct_id=distinct_id,
        uuid=identity,
        timestamp=timestamp,
        properties=msgspec.Raw(serialise(merged)),
    )
