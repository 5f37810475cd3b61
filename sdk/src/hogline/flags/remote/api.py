"""The flags API: evaluation of a person's flags, the definitions, one remote config payload.

Timeouts are short: callers wait.

Imported with the first request, because urllib3 costs more start-up time than all of the rest.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import urllib3

from hogline.delivery.http_pool import open_pool
from hogline.delivery.retry import retry_after_s
from hogline.version import __version__
from hogline.wire.flags import FLAGS_PATH, FlagsAnswer, FlagsUnavailable, read_answer

__all__ = ["Definitions", "FlagRequests"]

_RETRYABLE = frozenset({502, 504})
_FIRST_WAIT_S = 0.3
_MAX_IDLE = 10
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Definitions:
    """The answer of `/flags/definitions`; without a body, nothing has changed."""

    body: bytes | None
    etag: str | None


class FlagRequests:
    """Makes the requests about one project's flags. Several threads may use it at once."""

    def __init__(
        self,
        host: str,
        token: str,
        *,
        secret_key: str,
        timeout_s: float,
        definitions_timeout_s: float,
        max_retries: int,
    ) -> None:
        self._host = host
        self._token = token
        self._secret_key = secret_key
        self._timeout_s = timeout_s
        self._definitions_timeout_s = definitions_timeout_s
        self._max_retries = max_retries
        # Each pool serves one request at a time, so that no request waits for another's lock: a
        # signal handler may make one in the middle of another. Taking a pool and putting it back
        # are atomic operations of the list.
        self._idle: list[urllib3.PoolManager] = []

    def evaluate(self, body: bytes) -> FlagsAnswer:
        """Return the server's evaluation for the request *body*.

        Transport failures except refused connections, 502 and 504 are retried after 0.3, 0.6 ... s.
        Raises FlagsUnavailable: there is no answer.
        Source: docs/internals/flags-protocol.md#remote-evaluation.
        """
        attempt = 0
        while True:
            try:
                return self._evaluate(body)
            except FlagsUnavailable as error:
                again = error.status in _RETRYABLE or (
                    error.status is None and error.code in ("timeout", "connection_error")
                )
                if not again or attempt >= self._max_retries or _was_refused(error):
                    raise
            time.sleep(_FIRST_WAIT_S * 2**attempt)
            attempt += 1

    def _evaluate(self, request: bytes) -> FlagsAnswer:
        _, _, body = self._request("POST", FLAGS_PATH, {"Content-Type": "application/json"}, self._timeout_s, request)
        try:
            answer = read_answer(body)
        except ValueError as error:
            raise FlagsUnavailable("unknown_error", f"no JSON of flags: {error}", status=200) from error
        if answer.quota_limited:
            raise FlagsUnavailable("quota_limited", "the project's quota of flag requests is used up", status=200)
        return answer

    def definitions(self, etag: str | None) -> Definitions:
        """Return the definitions for local evaluation, unless *etag* is still current.

        Raises FlagsUnavailable: the server refused, or did not answer.
        Source: docs/internals/flags-protocol.md#local-definitions.
        """
        headers = self._authorised()
        if etag:
            headers["If-None-Match"] = etag
        path = f"/flags/definitions?token={quote(self._token, safe='')}&send_cohorts"
        status, etag, body = self._request("GET", path, headers, self._definitions_timeout_s)
        return Definitions(None if status == 304 else body, etag)

    def remote_config(self, key: str) -> bytes:
        """Return the response body with the payload of the remote config flag *key*.

        Raises FlagsUnavailable: the server refused, or did not answer.
        """
        path = f"/api/projects/@current/feature_flags/{quote(key, safe='')}/remote_config?token={quote(self._token, safe='')}"
        return self._request("GET", path, self._authorised(), self._timeout_s)[2]

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop().clear()

    def _authorised(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._secret_key}"}

    def _request(
        self, method: str, path: str, headers: dict[str, str], timeout_s: float, body: bytes | None = None
    ) -> tuple[int, str | None, bytes]:
        headers["User-Agent"] = f"hogline/{__version__}"
        try:
            pool = self._idle.pop()
        except IndexError:
            pool = open_pool(self._host)
        try:
            response = pool.request(
                method,
                self._host + path,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(total=timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            answer = _read(response)
        except urllib3.exceptions.NewConnectionError as error:  # which is a TimeoutError too
            raise FlagsUnavailable("connection_error", str(error)) from error
        except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
            raise FlagsUnavailable("timeout", f"no answer within {timeout_s:g} s") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise FlagsUnavailable("connection_error", f"{type(error).__name__}: {error}") from error
        finally:
            if len(self._idle) < _MAX_IDLE:
                self._idle.append(pool)
            else:
                pool.clear()
        if response.status not in (200, 304) or len(answer) > _MAX_ANSWER_BYTES:
            text = " ".join(answer[:200].decode("utf-8", "replace").split())
            raise FlagsUnavailable(
                f"api_error_{response.status}",
                text,
                status=response.status,
                retry_after=retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC)),
            )
        return response.status, response.headers.get("ETag"), answer


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """Return the body, or the part that is over the limit."""
    answer, is_whole = bytearray(), False
    try:
        while len(answer) <= _MAX_ANSWER_BYTES and not is_whole:
            piece = response.read(_PIECE_BYTES)
            answer += piece
            is_whole = not piece
    finally:
        if not is_whole:
            response.close()  # the rest would be read as the next response
        response.release_conn()
    return bytes(answer)


def _was_refused(error: BaseException | None) -> bool:
    """Return whether nothing listens there: that will not change within a third of a second."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ConnectionRefusedError):
            return True
        error, seen = error.__cause__ or getattr(error, "reason", None) or error.__context__, seen + 1
    return False
