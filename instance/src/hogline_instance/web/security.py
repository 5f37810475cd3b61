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

    Loopback hosts and *allowed_hosts* are accepted. With *has_password* and no *allowed_hosts*
    every host is: a browser sends a cookie or a password only to the host that got it, so a page
    of a rebound name reads what a stranger reads, the login page.
    """

    def __init__(self, app: Any, *, has_password: bool, allowed_hosts: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._has_password = has_password
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Respond 421 or 403, or pass the request to the app."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not self._accepts(host):
            known = ["127.0.0.1", "localhost", *sorted(self._allowed_hosts)]
            reason = f"Host {host[:100]!r} is not this instance; it answers {', '.join(known)} (option allowed_hosts)"
            await PlainTextResponse(reason, 421)(scope, receive, send)
        elif _is_from_elsewhere(scope["method"], headers, origin, host):
            await PlainTextResponse(f"a page of {origin[:100]!r} may not do this", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _accepts(self, host: str) -> bool:
        name = _name_of(host)
        if _is_local(name) or name in self._allowed_hosts:
            return True
        # A rebound host is a name: probes and proxies that ask by address need no entry.
        return self._has_password and (not self._allowed_hosts or _address_of(name) is not None)


def _is_from_elsewhere(method: str, headers: Mapping[bytes, bytes], origin: str, host: str) -> bool:
    """Return whether a page of another site sent this, by `Origin` and `Sec-Fetch-*`.

    A person may still follow a link to a page here. An opaque origin (`null`) is a sandboxed frame,
    a file or a redirect, and so not a page of this site.
    Source: https://www.w3.org/TR/fetch-metadata/
    """
    site = headers.get(b"sec-fetch-site", b"")
    if method not in ("GET", "HEAD"):
        # Browsers send `Origin: null` with the forms of our own pages, whose policy is `no-referrer`.
        # Sec-Fetch-Site is set by the browser alone; a sandboxed frame is `cross-site` in it.
        if site == b"same-origin":
            return False
        return site in (b"cross-site", b"same-site") or (bool(origin) and origin.partition("://")[2] != host)
    if site not in (b"cross-site", b"same-site"):
        return False
    is_link = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
    return not is_link


def _name_of(host: str) -> str:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")


def _is_local(name: str) -> bool:
    # Not `*.localhost`: a page could use many such names to evade browsers' connection limits.
    address = _address_of(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def _address_of(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
