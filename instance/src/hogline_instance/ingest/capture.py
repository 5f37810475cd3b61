"""The legacy capture endpoints: each path accepts every shape; success is `200 {"status":1}`.

PostHog's edge refuses a whole request for one bad event. Here the good events are kept, and the bad
ones are counted and logged with the reason (docs/internals/rules.md#accept-the-good).
"""

from datetime import UTC, datetime

from hogline_instance.ingest.admission import OVERSIZE, Admitted, RequestFacts, TokenError, admit, token_of
from hogline_instance.ingest.bodies import BodyError, BodyTooLargeError, plain_json
from hogline_instance.ingest.http import HttpError, Request, Response
from hogline_instance.ingest.payloads import read_batch
from hogline_instance.ingest.refusals import Refusals
from hogline_instance.project import ProjectLookup
from hogline_instance.settings import Settings

__all__ = ["PATHS", "Capture", "LargeBodyError"]

PATHS = frozenset({"/batch", "/e", "/i/v0/e", "/capture", "/track", "/engage", "/i/v0/ai/batch"})
# `_` counts milliseconds; anything up to 2020 is a version or a cache buster.
_FIRST_BELIEVED_MS = 1_600_000_000_000


class LargeBodyError(Exception):
    """The body exceeds the caller's limit when decoded; the option's limit may be higher."""


class Capture:
    """Turns a request into rows."""

    def __init__(self, settings: Settings, projects: ProjectLookup, refusals: Refusals) -> None:
        self._max_plain_bytes = settings.max_decompressed_bytes
        self._max_event_bytes = settings.max_event_bytes
        self._max_events = settings.max_request_events
        self._projects = projects
        self._refusals = refusals

    def admit(self, request: Request, max_bytes: int | None = None) -> tuple[Response, list[bytes]]:
        """Return the response to send once the rows are on disk, and the rows.

        *max_bytes* limits the decoded body further than the option does. Raises HttpError.
        Raises LargeBodyError: the body decodes to more than *max_bytes*.
        """
        query = request.query
        body = request.body if request.body or request.method == "POST" else query.get("data", "").encode()
        try:
            text = plain_json(
                body,
                content_type=request.header(b"content-type").lower(),
                content_encoding=request.header(b"content-encoding"),
                compression=query.get("compression", "").lower(),
                max_bytes=self._max_plain_bytes if max_bytes is None else max_bytes,
            )
        except BodyTooLargeError as error:
            if max_bytes is not None:
                raise LargeBodyError from None
            raise HttpError(413, str(error)) from error
        except BodyError as error:
            raise HttpError(400, str(error)) from error
        return self._admit(request, text)

    def _admit(self, request: Request, text: bytes) -> tuple[Response, list[bytes]]:
        query = request.query
        try:
            batch = read_batch(text, self._max_events)
            token = token_of(batch, query.get("token", ""))
        except BodyTooLargeError as error:
            raise HttpError(413, str(error)) from error
        except BodyError as error:
            raise HttpError(400, str(error)) from error
        except TokenError as error:
            raise HttpError(401, str(error)) from error
        if not batch.events and not batch.unreadable:
            raise HttpError(400, "the batch is empty")
        response = Response(b"", 204) if query.get("beacon") == "1" else Response()
        project = self._projects.by_token(token)
        if project is None:
            # PostHog's edge accepts any well-formed token, and so does this. The log says why no
            # event appears.
            self._refusals.refuse_token(token, len(batch.events))
            return response, []
        arrival = RequestFacts(datetime.now(UTC), request.ip, _query_sent_at(query), request.path.startswith("/engage"))
        admitted = admit(batch, project.id, arrival, max_event_bytes=self._max_event_bytes)
        if admitted.mended:
            self._refusals.mend(admitted.mended)
        if admitted.refused:
            self._refusals.refuse(admitted.refused)
            if not admitted.rows and not _only_dropped(admitted):
                status = 413 if all(reason.startswith(OVERSIZE) for reason in admitted.refused) else 400
                raise HttpError(status, f"nothing to keep: {'; '.join(admitted.refused)}")
        return response, admitted.rows


def _only_dropped(admitted: Admitted) -> bool:
    return all(reason.endswith("events are not kept") for reason in admitted.refused)


def _query_sent_at(query: dict[str, str]) -> datetime | None:
    for name in ("_", "sent_at"):
        text = query.get(name, "")
        if text.isascii() and text.isdigit() and len(text) == 13 and int(text) > _FIRST_BELIEVED_MS:
            return datetime.fromtimestamp(int(text) / 1000, UTC)
    return None
