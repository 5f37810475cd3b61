"""`$current_url`, with secrets masked.

Built here because frameworks' accessors raise on hostile Host headers.

Source: docs/internals/frameworks.md#hostile-host-header (what each framework does with a bad Host).
"""

import functools
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from hogline.redaction import redacted_path, redacted_query
from hogline.settings import UrlQuery

__all__ = ["joined_address", "local_address", "page_facts", "usable_host", "visited_scheme"]

_MAX_PATH_CHARACTERS = 2048
_MAX_JUDGED_CHARACTERS = 8192
_MAX_QUERY_CHARACTERS = 8192
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,255}|\[[0-9A-Fa-f:.%]{2,60}\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_PATH_SAFE = "/:@!$&'()*+,;=~-._"
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/:@!$&'()*+,;=~._-]*")
_MAX_PORT = 65_535
_LONGEST_REMEMBERED = 256
_LONGEST_HOST = 255 + len(":65535")


def usable_host(host: str | None, scheme: str) -> str | None:
    """Return *host* without a default port; None if it is not a host with an optional port."""
    if not host or len(host) > _LONGEST_HOST:
        return None
    return _judged_host(host, scheme)


@functools.lru_cache(maxsize=256)  # an app has few host names
def _judged_host(host: str, scheme: str) -> str | None:
    if not _HOST.fullmatch(host):
        return None
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and not host.endswith("]"):
        if int(port) > _MAX_PORT:
            return None
        return name if port == _DEFAULT_PORTS.get(scheme) else host
    return host


def joined_address(address: Any) -> str | None:
    """Return `name:port` for a socket's address or an ASGI scope's server.

    The port may be text, None or absent. Returns None for anything else: a socket file, a closed
    connection.
    """
    if not address or isinstance(address, str | bytes) or not address[0]:
        return None
    name = str(address[0])
    host = f"[{name}]" if ":" in name else name
    port = address[1] if len(address) > 1 else None
    return f"{host}:{port}" if port else host


def local_address(transport: Any) -> str | None:
    """Return the server's own `name:port`, from the socket of an asyncio *transport*.

    Returns None without a transport.
    """
    return joined_address(transport.get_extra_info("sockname")) if transport is not None else None


def visited_scheme(scheme: str, upgrade: str | None) -> str:
    """Return the scheme that the browser used.

    A WebSocket begins as an HTTP request with an *upgrade* header.
    """
    if upgrade is not None and upgrade.lower() == "websocket":
        return {"http": "ws", "https": "wss"}.get(scheme, scheme)
    return scheme


def page_facts(
    scheme: str, host: str | None, path: str, query: str, mode: UrlQuery, secret_names: frozenset[str] = frozenset()
) -> Mapping[str, str]:
    """Return `$request_path`, and `$current_url` if *host* is usable.

    `$current_url` is the URL that the visitor asked for. Secrets are masked and long URLs cut; the
    URL never holds userinfo or a fragment. *secret_names* are further parameters to mask.
    """
    if len(scheme) + len(host or "") + len(path) + len(query) > _LONGEST_REMEMBERED:
        return _page_facts(scheme, host, path, query, mode, secret_names)
    return _remembered(scheme, host, path, query, mode, secret_names)


def _page_facts(
    scheme: str, host: str | None, path: str, query: str, mode: UrlQuery, secret_names: frozenset[str]
) -> Mapping[str, str]:
    path, host = _shown_path(path, mode), usable_host(host, scheme)
    if host is None or scheme not in _DEFAULT_PORTS:
        return {"$request_path": path}
    url = f"{scheme}://{host}{path if _PLAIN_PATH.fullmatch(path) else quote(path, safe=_PATH_SAFE)}"
    if query and mode != "drop":
        shown_query = query if mode == "keep" else redacted_query(query, secret_names)
        url = f"{url}?{shown_query}"[: _MAX_QUERY_CHARACTERS + len(url)]
    return {"$current_url": url, "$request_path": path}


# Many requests ask for the same few pages.
_remembered = functools.lru_cache(maxsize=1024)(_page_facts)


def _shown_path(path: str, mode: UrlQuery) -> str:
    """Return at most 2048 characters of *path*.

    Secret segments are masked unless *mode* is "keep".
    """
    if len(path) > _MAX_PATH_CHARACTERS:
        if mode == "keep":
            return path[:_MAX_PATH_CHARACTERS]
        if len(path) > _MAX_JUDGED_CHARACTERS:  # cut there, the last segment may be half a secret
            path = path[:_MAX_JUDGED_CHARACTERS].rpartition("/")[0] or path[:1]
        return redacted_path(path)[:_MAX_PATH_CHARACTERS]
    return path if mode == "keep" else redacted_path(path)
