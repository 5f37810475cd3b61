"""One batch over HTTP: urllib3 with a keep-alive pool. Says what the server answered and decides nothing else.

Imported when the first batch leaves: urllib3, ssl and http cost more start-up time than all of the rest.
"""

from urllib.parse import urljoin, urlsplit

import urllib3

from hogline.delivery.connections import open_pool
from hogline.delivery.retry import Answer
from hogline.version import __version__
from hogline.wire.batch import BATCH_PATH, compress

__all__ = ["Transport"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_MAX_ANSWER_BYTES = 64 * 1024  # nobody reads a capture's answer but for the log
_MAX_TEXT_CHARACTERS = 200


class Transport:
    """Sends bodies to one host. Used by one thread at a time."""

    def __init__(self, host: str, *, timeout_s: float, gzip: bool) -> None:
        self._url = host + BATCH_PATH
        self._gzip = gzip
        self._timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        self._pool = open_pool(host)

    def send(self, body: bytes) -> Answer:
        """POST *body* and return the answer; a failure to get one is an answer too."""
        headers = {"Content-Type": "application/json", "User-Agent": f"hogline/{__version__}"}
        if self._gzip:
            body = compress(body)
            headers["Content-Encoding"] = "gzip"
        try:
            return self._post(self._url, body, headers)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return Answer(None, text=f"{type(error).__name__}: {error}"[:_MAX_TEXT_CHARACTERS])

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """POST, and POST again where a redirect points: a GET there would count as delivered and lose everything."""
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._pool.request(
                "POST",
                url,
                body=body,
                headers=headers,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            text = _read(response)
            if response.status not in _REDIRECTS:
                return Answer(response.status, response.headers.get("Retry-After"), text)
            target = urljoin(url, response.headers.get("Location") or "")
            downgrade = urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https"
            if target == url or downgrade or urlsplit(target).scheme not in ("http", "https"):
                # Events never leave encryption because an answer said so.
                return Answer(response.status, text=f"redirects to {target!r}, which is not followed")
            url = target
        return Answer(response.status, text=f"redirects more than {_MAX_REDIRECTS} times, the last time to {url!r}")


def _read(response: urllib3.BaseHTTPResponse) -> str:
    """Return the beginning of the body, for the log. The status has decided already: a body that breaks off changes nothing."""
    try:
        body = response.read(_MAX_ANSWER_BYTES)
    except (urllib3.exceptions.HTTPError, OSError):
        body = b""
        response.close()
    if len(body) >= _MAX_ANSWER_BYTES:
        response.close()  # what is left of it would be read as the next answer
    response.release_conn()
    return " ".join(body.decode("utf-8", "replace").split())[:_MAX_TEXT_CHARACTERS]
