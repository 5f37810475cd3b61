"""Outgoing HTTP: the three headers that carry a context to the next service.

This module also decides which hosts may get them.

This is what posthog-js's `tracing_headers` does in a browser. A host that is not listed never gets
a header, on any redirect: the file of each HTTP client calls this one for each hop. Source:
docs/internals/frameworks.md#outgoing-http.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from hogline.context import Context, current
from hogline.exceptions import SettingsError
from hogline.facts.tracing import DISTINCT_ID, SESSION_ID, WINDOW_ID, usable
from hogline.guard import guard
from hogline.log_throttle import ONCE, ThrottledLog

__all__ = ["NAMES", "Destinations"]

NAMES = (SESSION_ID, DISTINCT_ID, WINDOW_ID)
"""The headers, in lower case."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CLEAR = re.compile(r"[^\\\s\x00-\x20\x7f]+")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
# Python's codec replaces these characters, as IDNA 2003 did, so straße.example would become another
# host than the one that clients connect to. Source: UTS 46, section 4, Deviations.
_DEVIATIONS = frozenset("ß\u03c2\u200c\u200d")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One listed host.

    For example `shop.example`, `shop.example:8443`, `*.shop.example`, `https://shop.example` or
    `[::1]:8000`.
    """

    host: str  # of a wildcard: the part after the first dot
    wildcard: bool
    scheme: str | None
    port: int | None  # None: any

    def matches(self, scheme: str, host: str, port: int) -> bool:
        if (self.scheme is not None and self.scheme != scheme) or (self.port is not None and self.port != port):
            return False
        # With the dot: evilshop.example is no subdomain of shop.example.
        return host.endswith(f".{self.host}") if self.wildcard else host == self.host


class Destinations:
    """The hosts that may get the headers.

    *hosts*: names or addresses; with a port or a scheme, only these match; with `*.` in front,
    every subdomain matches, but not the name itself.
    Raises SettingsError: an entry that cannot match, or that would match too much.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        listed = [hosts] if isinstance(hosts, str) else list(hosts)
        if not listed:
            raise SettingsError("hosts is empty, so no host would ever get a header; list those of your own services")
        self._entries = [_entry(host) for host in listed]
        self._throttled = ThrottledLog(ONCE)

    def allows(self, url: str) -> bool:
        """Return whether the server at *url* is listed. A URL that cannot be parsed is not."""
        try:
            parts = urlsplit(url)
            scheme = parts.scheme.lower()
            host, port = _normal(parts.hostname or ""), parts.port
        except (ValueError, UnicodeError):
            return False
        # Clients and browsers disagree on where the host of such a URL begins.
        if scheme not in _DEFAULT_PORTS or not host or not _CLEAR.fullmatch(parts.netloc):
            return False
        wanted = port if port is not None else _DEFAULT_PORTS[scheme]
        return any(entry.matches(scheme, host, wanted) for entry in self._entries)

    def headers(self, url: str) -> dict[str, str]:
        """Return the headers for a request to *url*: none for other hosts, or outside a context.

        Never raises.
        """
        context = current.get()
        if context is None:
            return {}
        with guard("headers", self._complain):
            return self._headers_of(context) if self.allows(url) else {}
        return {}

    def _complain(self, name: str, error: BaseException) -> None:
        self._throttled.warning(
            name, "the headers of an outgoing call failed and are left out: %r (logged once)", error
        )

    @staticmethod
    def _headers_of(context: Context) -> dict[str, str]:
        window = context.properties().get("$window_id")
        known = ((SESSION_ID, context.session()), (DISTINCT_ID, context.acting_distinct_id()), (WINDOW_ID, window))
        found = {}
        for name, value in known:
            clean = usable([value]) if isinstance(value, str) else None
            if clean is not None and clean.isascii():  # a header can hold no other
                found[name] = clean
        return found


def _entry(text: str) -> _Entry:
    if not isinstance(text, str):
        raise SettingsError(f"hosts takes names such as 'api.shop.example', got {text!r}")
    scheme, separator, rest = text.strip().lower().rpartition("://")
    wildcard = rest.startswith("*.")
    try:
        parts = urlsplit(f"//{rest.removeprefix('*.')}")
        host, port = _normal(parts.hostname or ""), parts.port
    except (ValueError, UnicodeError):
        host, port, parts = "", None, urlsplit("")
    plain = host and not (parts.path or parts.query or parts.fragment or parts.username is not None)
    if not plain or (separator and scheme not in _DEFAULT_PORTS) or not (":" in host or _NAME.fullmatch(host)):
        raise SettingsError(
            f"hosts takes 'api.shop.example', 'api.shop.example:8443', '*.shop.example' or 'https://api.shop.example', got {text!r}"
        )
    if wildcard and "." not in host:
        raise SettingsError(f"{text!r} would match every host of a whole domain; name yours: '*.shop.{host}'")
    if separator and port is None:
        port = _DEFAULT_PORTS[scheme]
    return _Entry(host, wildcard, scheme if separator else None, port)


def _normal(host: str) -> str:
    """Return *host* in lower case, without a final dot, and in IDNA's ASCII form."""
    host = host.lower().removesuffix(".")
    return host if host.isascii() else ".".join(map(_label, _DOTS.split(host)))


def _label(label: str) -> str:
    if label.isascii():
        return label
    if _DEVIATIONS.isdisjoint(label):
        return label.encode("idna").decode("ascii")
    return f"xn--{unicodedata.normalize('NFC', label).encode('punycode').decode('ascii')}"
