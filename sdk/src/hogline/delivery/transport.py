"""One batch over HTTP: urllib3 with a keep-alive pool. Says what the server answered and decides nothing else.

Imported when the first batch leaves: urllib3, ssl and http cost more start-up time than all of the rest.
"""

import os
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

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
        self._pool = _pool(host)

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
            try:
                text = response.read(_MAX_ANSWER_BYTES)
                if response.status not in _REDIRECTS:
                    return _answer(response, text)
                target = urljoin(url, response.headers.get("Location") or "")
            finally:
                response.release_conn()
            downgrade = urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https"
            if target == url or downgrade or urlsplit(target).scheme not in ("http", "https"):
                # Events never leave encryption because an answer said so.
                return Answer(400, text=f"{response.status} to {target!r}, which is not followed")
            url = target
        return Answer(400, text=f"more than {_MAX_REDIRECTS} redirects, the last to {url!r}")


def _answer(response: urllib3.BaseHTTPResponse, text: bytes) -> Answer:
    shown = " ".join(text.decode("utf-8", "replace").split())[:_MAX_TEXT_CHARACTERS]
    return Answer(response.status, response.headers.get("Retry-After"), shown)


def _pool(host: str) -> urllib3.PoolManager:
    """Return connections to *host*, through the proxy that the environment names for it."""
    parts = urlsplit(host)
    authorities = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    options: dict[str, object] = {"num_pools": 4, "maxsize": 1, "ca_certs": authorities}
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, **options)  # type: ignore[arg-type]
    return urllib3.PoolManager(**options)  # type: ignore[arg-type]
