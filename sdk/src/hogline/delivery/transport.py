"""One request over HTTP: urllib3 with a keep-alive pool. Says what the server answered and decides nothing else.

Imported when the first batch leaves: urllib3, ssl and http cost more start-up time than all of the rest.
"""

from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

import urllib3

from hogline.delivery.http_pool import open_pool
from hogline.delivery.retry import Answer

__all__ = ["Transport"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_MAX_TEXT_CHARACTERS = 200


class Transport:
    """Sends bodies to one host. Used by one thread at a time."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._pool: urllib3.PoolManager | None = None

    def send(
        self, path: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, max_answer_bytes: int
    ) -> Answer:
        """POST *body* and return the answer, its body cut at *max_answer_bytes*; a failure to get one is an answer too."""
        timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        try:
            if self._pool is None:  # a proxy that urllib3 cannot use says so here
                self._pool = open_pool(self._host)
            return self._post(self._pool, self._host + path, body, headers, timeout, max_answer_bytes)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return Answer(None, text=f"{type(error).__name__}: {error}"[:_MAX_TEXT_CHARACTERS])

    def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            self._pool.clear()

    @staticmethod
    def _post(
        pool: urllib3.PoolManager,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: urllib3.Timeout,
        max_answer_bytes: int,
    ) -> Answer:
        """POST, and POST again where a redirect points: a GET there would count as delivered and lose everything."""
        for _ in range(_MAX_REDIRECTS + 1):
            response = pool.request(
                "POST",
                url,
                body=body,
                headers=headers,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            answered = _read(response, max_answer_bytes)
            if response.status not in _REDIRECTS:
                text = " ".join(answered[:_MAX_TEXT_CHARACTERS].decode("utf-8", "replace").split())
                return Answer(response.status, response.headers.get("Retry-After"), text, answered)
            target = urljoin(url, response.headers.get("Location") or "")
            downgrade = urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https"
            if target == url or downgrade or urlsplit(target).scheme not in ("http", "https"):
                # Events never leave encryption because an answer said so.
                return Answer(response.status, text=f"redirects to {target!r}, which is not followed")
            url = target
        return Answer(response.status, text=f"redirects more than {_MAX_REDIRECTS} times, the last time to {url!r}")


def _read(response: urllib3.BaseHTTPResponse, max_bytes: int) -> bytes:
    """Return the beginning of the body. The status has decided already: a body that breaks off changes nothing about that."""
    try:
        body = response.read(max_bytes)
    except (urllib3.exceptions.HTTPError, OSError):
        body = b""
        response.close()
    if len(body) >= max_bytes:
        response.close()  # what is left of it would be read as the next answer
    response.release_conn()
    return body
