"""Security headers of responses, and a check of the Host and Origin headers."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from starlette.responses import PlainTextResponse

__all__ = ["API_HEADERS", "PAGE_HEADERS", "HostGuard"]

# Responses hold hostile content: browsers must not sniff it into HTML or run it, and caches must
# not keep it.
API_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE_HEADERS = {
    # No inline script or style, and nothing from other hosts: content that a template failed to
    # escape could still not run.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HostGuard:
    """Accepts only requests for this host, so that no other site can read from it (DNS rebinding).

    With *any_host* every host name is accepted, and a password guards the instance instead.
    """

    def __init__(self, app: Any, *, any_host: bool) -> None:
        self._app = app
        self._any_host = any_host

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Respond 421 or 403, or pass the request to the app."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not self._any_host and not _is_local(host):
            reason = (
                f"Host {host[:100]!r} is not this machine; the instance answers http://127.0.0.1 and http://localhost"
            )
            await PlainTextResponse(reason, 421)(scope, receive, send)
        elif _is_from_elsewhere(scope["method"], headers, origin, host):
            await PlainTextResponse(f"a page of {origin[:100]!r} may not do this", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_from_elsewhere(method: str, headers: Mapping[bytes, bytes], origin: str, host: str) -> bool:
    """Return whether a page of another site sent this, by `Origin` and `Sec-Fetch-*`.

    A person may still follow a link to a page here. An opaque origin (`null`) is a sandboxed frame,
    a file or a redirect, and so not a page of this site.
    Source: https://www.w3.org/TR/fetch-metadata/
    """
    site = headers.get(b"sec-fetch-site", b"")
    if method not in ("GET", "HEAD"):
        return site in (b"cross-site", b"same-site") or (bool(origin) and origin.partition("://")[2] != host)
    if site not in (b"cross-site", b"same-site"):
        return False
    is_link = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
    return not is_link


def _is_local(host: str) -> bool:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    # Not `*.localhost`: a page could use many such names to evade browsers' connection limits.
    if name.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
