"""The default transport: HTTP by urllib3, over a connection that is kept.

It reports the response and decides nothing else.
"""

import os
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from hogline.delivery.lazy_imports import import_http_pool
from hogline.transports import UploadRequest, UploadResponse

if TYPE_CHECKING:
    import urllib3

__all__ = ["HTTPTransport"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_MAX_TEXT_CHARACTERS = 200


class HTTPTransport:
    """POSTs batches, through the environment's proxy and with its certificate authorities.

    Use one from one thread at a time. It costs nothing until its first request.
    """

    def __init__(self) -> None:
        self._pool: urllib3.PoolManager | None = None
        self._pool_pid = 0

    def send(self, request: UploadRequest) -> UploadResponse:
        """POST the body and return the response.

        A failure to get one is returned too, as status None.
        """
        import_http_pool()
        from urllib3.exceptions import HTTPError

        try:
            return self._post(request)
        except (HTTPError, OSError, ValueError) as error:
            return UploadResponse.failure(error)

    def close(self) -> None:
        """Close the connections. A later request opens new ones."""
        if self._pool is not None and self._pool_pid == os.getpid():
            self._pool.clear()
        self._pool = None

    def _connections(self, url: str) -> "urllib3.PoolManager":
        """Return this process's connections: those of the parent of a fork belong to the parent."""
        if self._pool is None or self._pool_pid != os.getpid():
            # This raises where urllib3 cannot use the proxy.
            self._pool = import_http_pool().open_pool(url)
            self._pool_pid = os.getpid()
        return self._pool

    def _post(self, request: UploadRequest) -> UploadResponse:
        """POST, and POST again where a redirect points.

        A GET there would count as delivered and lose everything.
        """
        import urllib3

        pool, url = self._connections(request.url), request.url
        timeout = urllib3.Timeout(connect=request.timeout_s, read=request.timeout_s)
        for _ in range(_MAX_REDIRECTS + 1):
            response = pool.request(
                "POST",
                url,
                body=request.body,
                headers=request.headers,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            body = _read(response, request.max_response_bytes)
            if response.status not in _REDIRECTS:
                text = " ".join(body[:_MAX_TEXT_CHARACTERS].decode("utf-8", "replace").split())
                return UploadResponse(response.status, body, response.headers.get("Retry-After"), text)
            target = urljoin(url, response.headers.get("Location") or "")
            downgrade = urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https"
            if target == url or downgrade or urlsplit(target).scheme not in ("http", "https"):
                # Events never leave encryption because a response said so.
                return UploadResponse(response.status, text=f"redirects to {target!r}, which is not followed")
            url = target
        return UploadResponse(
            response.status, text=f"redirects more than {_MAX_REDIRECTS} times, the last time to {url!r}"
        )


def _read(response: "urllib3.BaseHTTPResponse", max_bytes: int) -> bytes:
    """Return the beginning of the body.

    A body that breaks off changes nothing: the status has decided already.
    """
    from urllib3.exceptions import HTTPError

    try:
        body = response.read(max_bytes)
    except (HTTPError, OSError):
        body = b""
        response.close()
    if len(body) >= max_bytes:
        response.close()  # otherwise the rest would be read as the next response
    response.release_conn()
    return body
