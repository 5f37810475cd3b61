"""The legacy capture endpoints: every path takes every shape, and success is exactly `200 {"status":1}`.

Where PostHog's edge refuses a whole request for one bad event, the good ones are kept here and the
bad ones counted, with the reason in the log (rule `accept-the-good`).
"""

import logging
import time
from datetime import UTC, datetime

from hogline_instance.ingest.admission import Admitted, RequestFacts, TokenError, admit, token_of
from hogline_instance.ingest.bodies import BodyError, BodyTooLargeError, plain_json
from hogline_instance.ingest.http import HttpError, Request, Response
from hogline_instance.ingest.payloads import read_batch
from hogline_instance.project import ProjectLookup
from hogline_instance.settings import Settings

__all__ = ["PATHS", "Capture"]

_log = logging.getLogger("hogline.instance")
PATHS = frozenset({"/batch", "/e", "/i/v0/e", "/capture", "/track", "/engage", "/i/v0/ai/batch"})
# `_` counts milliseconds; anything up to 2020 is a version or a cache buster.
_FIRST_BELIEVED_MS = 1_600_000_000_000
_LOG_EVERY_S = 10.0


class Capture:
    """Turns a request into rows, and counts refused events."""

    def __init__(self, settings: Settings, projects: ProjectLookup) -> None:
        self._max_plain_bytes = settings.max_decompressed_bytes
        self._projects = projects
        self.refused: dict[str, int] = {}
        self._unlogged = 0
        self._logged_s = 0.0

    def admit(self, request: Request) -> tuple[Response, list[bytes]]:
        """Return the answer to give once the rows are on disk, and the rows.  Raises HttpError."""
        query = request.query
        body = request.body if request.body or request.method == "POST" else query.get("data", "").encode()
        try:
            text = plain_json(
                body,
                content_type=request.header(b"content-type").lower(),
                content_encoding=request.header(b"content-encoding"),
                compression=query.get("compression", "").lower(),
                max_bytes=self._max_plain_bytes,
            )
            batch = read_batch(text)
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
            # The edge takes any token that could be one; so does this, and says in the log why
            # nothing appears.
            self.count({f"project token {token[:12]}... is not of this instance": len(batch.events)})
            return response, []
        now = datetime.now(UTC)
        admitted = admit(
            batch, project.id, RequestFacts(now, request.ip, _query_sent_at(query), request.path.startswith("/engage"))
        )
        if admitted.refused:
            self.count(admitted.refused)
            if not admitted.rows and not _only_dropped(admitted):
                raise HttpError(400, f"nothing to keep: {'; '.join(admitted.refused)}")
        return response, admitted.rows

    def count(self, reasons: dict[str, int]) -> None:
        """Count refused events by reason, and log them at most every few seconds."""
        for reason, count in reasons.items():
            if len(self.refused) < 1000 or reason in self.refused:
                self.refused[reason] = self.refused.get(reason, 0) + count
            self._unlogged += count
        now_s = time.monotonic()
        if now_s - self._logged_s >= _LOG_EVERY_S:
            _log.warning("ingest: %d events not kept: %s", self._unlogged, "; ".join(reasons)[:500])
            self._logged_s, self._unlogged = now_s, 0


def _only_dropped(admitted: Admitted) -> bool:
    return all(reason.endswith("events are not kept") for reason in admitted.refused)


def _query_sent_at(query: dict[str, str]) -> datetime | None:
    for name in ("_", "sent_at"):
        text = query.get(name, "")
        if text.isascii() and text.isdigit() and len(text) == 13 and int(text) > _FIRST_BELIEVED_MS:
            return datetime.fromtimestamp(int(text) / 1000, UTC)
    return None
