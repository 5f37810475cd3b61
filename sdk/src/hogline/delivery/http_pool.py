"""Connections to one host, as the environment says.

The environment may name a proxy and certificate authorities for the host.

A response has to be complete within the timeout. A socket's own timeout starts again with every
byte, so a server that sends one byte at a time could hold a connection for ever.
"""

import http.client
import io
import os
import socket
import time
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

__all__ = ["authorities", "open_pool", "proxy_of"]

_SHORTEST_WAIT_S = 0.001  # 0 would make the socket non-blocking


def open_pool(host: str) -> urllib3.PoolManager:
    """Return a pool that keeps a connection to *host*.

    It also keeps one to each of the few hosts that *host* may redirect to.
    """
    options: dict[str, Any] = {"num_pools": 4, "maxsize": 1}
    trusted = authorities()
    if trusted is not None:
        options["ca_cert_dir" if os.path.isdir(trusted) else "ca_certs"] = trusted  # noqa: PTH112 - no pathlib here
    proxy = proxy_of(host)
    if proxy is None:
        return _in_time(urllib3.PoolManager(**options))
    address = urlsplit(proxy)
    if address.username is not None:
        credentials = f"{unquote(address.username)}:{unquote(address.password or '')}"
        options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=credentials)
    return _in_time(urllib3.ProxyManager(f"{address.scheme}://{address.netloc.rpartition('@')[2]}", **options))


def _in_time(pools: urllib3.PoolManager) -> urllib3.PoolManager:
    pools.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return pools


class _Reader(io.RawIOBase):
    """Reads from a socket until the socket's current timeout has passed.

    It does not matter how the bytes arrive.
    """

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw = raw
        self._connection = connection
        timeout_s = connection.gettimeout()
        self._until_s = None if timeout_s is None else time.monotonic() + timeout_s

    def readable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the socket's number."""
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        """Receive bytes. Raises TimeoutError when the time is over."""
        if self._until_s is not None:
            rest_s = self._until_s - time.monotonic()
            if rest_s <= 0:
                raise TimeoutError("the response was not complete in time")
            self._connection.settimeout(max(rest_s, _SHORTEST_WAIT_S))
        received: int | None = self._raw.readinto(buffer)
        return received

    def close(self) -> None:
        """Release the socket."""
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response whose head and body together have one timeout."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def proxy_of(host: str) -> str | None:
    """Return the URL of the proxy for *host*, or None."""
    parts, proxies = urlsplit(host), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def authorities() -> str | None:
    """Return the file or folder of certificate authorities to trust, or None.

    They replace the system's.
    """
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or None
