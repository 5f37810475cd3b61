"""`$current_url`: built by ourselves, since frameworks' accessors raise on hostile Host headers; secrets masked.

Source: spec/frameworks.md 4.3 (what each framework does with a bad Host).
"""

import functools
import re
from typing import Any
from urllib.parse import quote, unquote_plus

from hogline.settings import UrlQuery

__all__ = ["MASK", "absolute_url", "joined_address", "redacted_query", "usable_host", "visited_scheme"]

MASK = "redacted"
_MAX_PATH_CHARACTERS = 2048
_MAX_QUERY_CHARACTERS = 8192
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,255}|\[[0-9A-Fa-f:.%]{2,60}\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_PATH_SAFE = "/:@!$&'()*+,;=~-._"
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/:@!$&'()*+,;=~._-]*")
_MAX_PORT = 65_535
_LONGEST_HOST = 255 + len(":65535")

# Names, compared without case and punctuation, whose values are secrets wherever they stand in the name.
_SECRET_WITHIN = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential", "signature",
    "authorization", "jwt", "sessionid", "csrf", "otp",
)  # fmt: skip
# Names that are secrets only as a whole: 'code' is an OAuth grant, 'postcode' is not.
_SECRET_WHOLE = frozenset(
    {"auth", "code", "key", "pwd", "pass", "pin", "sid", "sig", "session", "state", "nonce", "ticket", "hash", "hmac"}
)
# Values that are secrets under any name: JWTs and vendors' key prefixes.
_SECRET_VALUE = re.compile(
    r"eyJ[\w-]+\.[\w-]+"
    r"|(?:ph[cxsa]_|sk[-_]|pk[-_]|rk_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|AIza|hf_|npm_|pypi-|SG\.|ya29\.)[\w.-]{8,}"
    r"|Bearer ",
)
_PUNCTUATION = re.compile(r"[^a-z0-9]")
_SHORTEST_SECRET = 8  # characters; the patterns above match nothing shorter
_LONGEST_REMEMBERED_NAME = 64


def usable_host(host: str | None, scheme: str) -> str | None:
    """Return *host* without a default port, or None unless it is host characters, brackets and an optional port."""
    if not host or len(host) > _LONGEST_HOST:
        return None
    return _judged_host(host, scheme)


@functools.lru_cache(maxsize=256)  # an app has few names, and every request has one of them
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
    """Return `name:port` out of a socket's address or an ASGI scope's server: its port may be text, None or absent.

    None for what is no such address: a socket file, a connection that is closed.
    """
    if not address or isinstance(address, str | bytes) or not address[0]:
        return None
    name = str(address[0])
    host = f"[{name}]" if ":" in name else name
    port = address[1] if len(address) > 1 else None
    return f"{host}:{port}" if port else host


def visited_scheme(scheme: str, upgrade: str | None) -> str:
    """Return the scheme that the browser used: a WebSocket begins as an HTTP request with *upgrade* in its header."""
    if upgrade is not None and upgrade.lower() == "websocket":
        return {"http": "ws", "https": "wss"}.get(scheme, scheme)
    return scheme


def absolute_url(scheme: str, host: str | None, path: str, query: str, mode: UrlQuery) -> str | None:
    """Return the URL the visitor asked for, or None where no usable host is known. Never holds userinfo or a fragment."""
    if host is None or scheme not in _DEFAULT_PORTS:
        return None
    path = path[:_MAX_PATH_CHARACTERS]
    url = f"{scheme}://{host}{path if _PLAIN_PATH.fullmatch(path) else quote(path, safe=_PATH_SAFE)}"
    if not query or mode == "drop":
        return url
    return f"{url}?{query if mode == 'keep' else redacted_query(query)}"[: _MAX_QUERY_CHARACTERS + len(url)]


def redacted_query(query: str) -> str:
    """Return *query* with the values of secret names, and secret-shaped values, replaced by `MASK`; order and spelling stay."""
    parts = []
    for part in query[:_MAX_QUERY_CHARACTERS].split("&"):
        name, equals, value = part.partition("=")
        if value and (_is_secret_name(name) or _is_secret_value(value)):
            parts.append(f"{name}={MASK}")
        elif not equals and _is_secret_value(name):
            parts.append(MASK)
        else:
            parts.append(part)
    return "&".join(parts)


def _is_secret_value(text: str) -> bool:
    if len(text) < _SHORTEST_SECRET:
        return False
    return _SECRET_VALUE.search(unquote_plus(text) if "%" in text or "+" in text else text) is not None


def _is_secret_name(name: str) -> bool:
    return _known_name(name) if len(name) <= _LONGEST_REMEMBERED_NAME else _judged_name(name)


def _judged_name(name: str) -> bool:
    plain = _PUNCTUATION.sub("", unquote_plus(name).lower())
    return plain in _SECRET_WHOLE or any(word in plain for word in _SECRET_WITHIN)


# An app's parameters have few names, and every request has them again.
_known_name = functools.lru_cache(maxsize=1024)(_judged_name)
