"""Snapshots: the raw facts of one request, of which its events' properties are made later.

A request captures in the middle of other code, where each step of ours meets cold caches. So only
the raw values are read there, all of them immutable and of a bounded size; the thread that sends
makes properties of them, for many requests one after the other, in a tenth of the time.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import orjson

from hogline.exchange.policy import Policy
from hogline.facts import address, url
from hogline.facts.visitor import Visitor
from hogline.settings import UrlQuery

__all__ = ["RequestLine", "Snapshot", "add_request", "facts_of", "written_facts"]

RequestLine: TypeAlias = tuple[str | None, str, str, str, str | None]
"""The facts that a protocol read from its request; none is trusted.

They are the method, the scheme, the decoded path that the browser asked for, the query, and the
peer's address. A plain tuple, because making a named one takes six times as long.
"""

Snapshot: TypeAlias = tuple[Any, ...]
"""The policy, the class of the exchange, the joined headers, an id for the request, the length of
the path and the query, and then what the exchange's `raw` returned: first the peer, which differs
between connections, then the values that make the page.

It is flat, and a part of the event's own tuple: each object that the garbage collector has to
visit, and that waits in a queue, costs a busy server almost a microsecond.
"""

_MAX_METHOD_CHARACTERS = 32
_RAW = 5  # where the exchange's own values begin
_LONGEST_REMEMBERED_LINE = 256
_LONGEST_REMEMBERED_HEADERS = 1000


def facts_of(snapshot: Snapshot) -> dict[str, Any]:
    """Return the request's facts as event properties."""
    policy, reader, headers, request_id, _ = snapshot[:_RAW]
    raw = snapshot[_RAW:]
    facts = {"$request_id": request_id.replace("-", "")}
    try:
        who = reader.visitor_of(headers)
        host = reader.host_of(raw, who.host)
        add_request(facts, policy, who, reader.line_of(raw), host, lambda: reader.server_of(raw))
    except Exception as error:
        policy.complain("request", error)
    return facts


def written_facts(snapshot: Snapshot) -> tuple[bytes, bytes, bytes, bytes | None]:
    """Return the same facts in three parts, but the request's id, and the distinct id in the headers.

    All are JSON; the parts are members of an object, each with a comma in front. The distinct id is
    None if the headers have none, or are not believed.
    """
    policy, reader, headers, _, line_characters, peer = snapshot[: _RAW + 1]
    settings = policy.settings
    try:
        values = snapshot[_RAW + 1 :]
        read_visitor = _visitor if len(headers) <= _LONGEST_REMEMBERED_HEADERS else _visitor.__wrapped__
        read_page = _page if line_characters <= _LONGEST_REMEMBERED_LINE else _page.__wrapped__
        visitor, person, host, ip, who = read_visitor(reader, headers)
        page = read_page(reader, host, settings.url_query, policy.secret_names, values)
        if not ip or not policy.believes_visitors:
            ip = _member("$ip", _ip(policy, who, reader.line_of((peer, *values))[4]))
    except Exception:
        # Made in the other way, which logs what cannot be read, and keeps the rest.
        facts = facts_of(snapshot)
        del facts["$request_id"]
        who = reader.visitor_of(headers)
        visitor, page, ip, person = _members(facts), b"", b"", orjson.dumps(who.person) if who.person else None
    return visitor, page, ip, person if settings.identity_headers else None


@functools.lru_cache(maxsize=512)
def _visitor(reader: Any, headers: bytes) -> tuple[bytes, bytes | None, str, bytes, Visitor]:
    """Return what the headers say: properties, distinct id and address as JSON, and the host."""
    who: Visitor = reader.visitor_of(headers)
    person = orjson.dumps(who.person) if who.person else None
    return _members(who.facts), person, who.host, _member("$ip", who.address), who


@functools.lru_cache(maxsize=1024)
def _page(reader: Any, host: str, mode: UrlQuery, secret_names: frozenset[str], values: tuple[Any, ...]) -> bytes:
    """Return what the request line says as JSON."""
    raw = (None, *values)
    facts: dict[str, Any] = {}
    line = reader.line_of(raw)
    _add_page(facts, mode, secret_names, line, reader.host_of(raw, host), lambda: reader.server_of(raw))
    return _members(facts)


def _members(facts: Mapping[str, Any]) -> bytes:
    """Return *facts* as the members of a JSON object, each with a comma in front."""
    return b"," + orjson.dumps(facts)[1:-1] if facts else b""


def _member(name: str, value: str | None) -> bytes:
    return b"" if value is None else _members({name: value})


def add_request(
    facts: dict[str, Any],
    policy: Policy,
    who: Visitor,
    line: RequestLine,
    host: str | None,
    find_server: Callable[[], str | None],
) -> None:
    """Add a request's own facts."""
    facts |= who.facts
    _add_page(facts, policy.settings.url_query, policy.secret_names, line, host, find_server)
    ip = who.address if policy.believes_visitors else None
    if ip is None:
        ip = _ip(policy, who, line[4])
    if ip is not None:
        facts["$ip"] = ip


def _add_page(
    facts: dict[str, Any],
    mode: UrlQuery,
    secret_names: frozenset[str],
    line: RequestLine,
    host: str | None,
    find_server: Callable[[], str | None],
) -> None:
    method, scheme, path, query, _ = line
    page = url.page_facts(scheme, host, path, query, mode, secret_names)
    if "$current_url" not in page:
        page = url.page_facts(scheme, find_server(), path, query, mode, secret_names)
    facts |= page
    if method:
        facts["$request_method"] = method[:_MAX_METHOD_CHARACTERS]


def _ip(policy: Policy, who: Visitor, peer: str | None) -> str | None:
    chain = address.forwarded_chain(who.chain) if policy.settings.address_header == "forwarded" else who.chain
    return address.client_address(chain, peer, policy.trusted_proxies)
