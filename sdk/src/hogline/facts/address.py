"""`$ip`: the visitor's address, out of the headers of proxies and the list of those we trust."""

import functools
import ipaddress
import re
from collections.abc import Sequence

from hogline.settings import Network

__all__ = ["client_address", "forwarded_chain", "only_address"]

# Matches most visitors' addresses; the parser takes ten times as long.
_PLAIN_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}")
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^\s;,"]*))', re.IGNORECASE)
_MAX_HEADER_CHARACTERS = 8192
_LONGEST_REMEMBERED = 64
_MAX_HOPS = 50  # a longer chain is an attack, and its left end is the attacker's


def client_address(forwarded_for: str | None, peer: str | None, trusted: int | Sequence[Network] | None) -> str | None:
    """Return the visitor's address.

    *trusted* None: the first address of `X-Forwarded-For`, else the peer's, as PostHog's guide has
    it. A number: that many proxies are ours, and the visitor is the address before them. Networks:
    the rightmost address outside them.
    """
    named = [_address(part) for part in forwarded_for.split(",")[-_MAX_HOPS:]] if forwarded_for else []
    if trusted is None and named and named[0]:
        return named[0]
    peer_address = _address(peer or "")
    if trusted is None:
        return next((address for address in named if address), peer_address)
    chain = [*named, peer_address]
    if isinstance(trusted, int):
        return next((address for address in chain[max(0, len(chain) - 1 - trusted) :] if address), None)
    nearest = None
    for address in reversed(chain):
        if address is None:  # garbage; addresses to the left of it cannot be trusted
            break
        nearest = address
        if not _is_ours(address, trusted):
            break
    return nearest


def only_address(chain: str) -> str | None:
    """Return *chain* if it is exactly one address, else None."""
    return _address(chain) if chain and "," not in chain else None


def forwarded_chain(header: str) -> str:
    """Return the addresses of a `Forwarded` header in the form of `X-Forwarded-For`.

    An element without an address becomes garbage that no parser accepts. Source: RFC 7239: commas
    separate elements, semicolons parameters, and a quoted value may hold either.
    """
    named = []
    for element in _ELEMENT.findall(header[:_MAX_HEADER_CHARACTERS]):
        given = _FOR.search(element)
        named.append((given[1] or given[2]) if given is not None else "-")
    return ",".join(name.replace(",", "-") for name in named)


def _is_ours(address: str, networks: Sequence[Network]) -> bool:
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def _address(text: str) -> str | None:
    """Return the IP address in *text*, else None.

    It accepts `1.2.3.4`, `1.2.3.4:80`, `[::1]:80`, `"::1"` and `fe80::1%eth0`.
    """
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _parsed(text)


def _parsed(text: str) -> str | None:
    text = text.strip()
    if _PLAIN_IPV4.fullmatch(text):
        return text
    text = text.strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    text = text.partition("%")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


_remembered = functools.lru_cache(maxsize=1024)(_parsed)  # visitors come again, and proxies are few
