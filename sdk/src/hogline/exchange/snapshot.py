"""Snapshot: the raw facts of one request, of which its events' properties are made later.

A request captures in the middle of other code, where each step of ours meets cold caches. So only
the raw values are read there, all of them immutable and of a bounded size; the thread that sends
makes properties of them, for many requests one after the other, in a tenth of the time.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from hogline.exchange.policy import Policy
from hogline.facts import address, url
from hogline.facts.visitor import Visitor

__all__ = ["RequestLine", "Snapshot", "add_request"]

RequestLine: TypeAlias = tuple[str | None, str, str, str, str | None]
"""The facts that a protocol read from its request; none is trusted.

They are the method, the scheme, the decoded path that the browser asked for, the query, and the
peer's address. A plain tuple, because making a named one takes six times as long.
"""

_MAX_METHOD_CHARACTERS = 32


class Snapshot:
    """The raw facts of one request.

    *reader* is the class of its exchange, whose static methods read *headers* and *raw*.
    """

    __slots__ = ("_facts", "_headers", "_policy", "_raw", "_reader", "_visitor", "request_id", "size_bytes")

    def __init__(
        self,
        policy: Policy,
        reader: Any,
        headers: bytes | Visitor,
        raw: Any,
        request_id: str,
        size_bytes: int,
    ) -> None:
        self._policy = policy
        self._reader = reader
        self._headers = headers
        self._raw = raw
        self.request_id: str = request_id
        self.size_bytes: int = size_bytes
        """About how long the properties are as JSON."""
        self._facts: dict[str, Any] | None = None

    def visitor(self) -> Visitor:
        """Return the visitor that the headers describe."""
        headers = self._headers
        if type(headers) is bytes:
            headers = self._headers = self._reader.visitor_of(headers)
        return headers  # type: ignore[return-value]

    def distinct_id(self) -> str | None:
        """Return the distinct id in the headers, if they are believed."""
        return (self.visitor().person or None) if self._policy.settings.identity_headers else None

    def facts(self) -> dict[str, Any]:
        """Return the request's facts as event properties; callers must not change them."""
        facts = self._facts
        if facts is None:
            facts = {"$request_id": self.request_id}
            try:
                reader, raw, who = self._reader, self._raw, self.visitor()
                host = reader.host_of(raw, who)
                add_request(facts, self._policy, who, reader.line_of(raw), host, lambda: reader.server_of(raw))
            except Exception as error:
                self._policy.complain("request", error)
            self._facts = facts
        return facts


def add_request(
    facts: dict[str, Any],
    policy: Policy,
    who: Visitor,
    line: RequestLine,
    host: str | None,
    find_server: Callable[[], str | None],
) -> None:
    """Add a request's own facts, in plain steps: this runs for each request that captures."""
    settings = policy.settings
    method, scheme, path, query, peer = line
    page = url.page_facts(scheme, host, path, query, settings.url_query, policy.secret_names)
    if "$current_url" not in page:
        page = url.page_facts(scheme, find_server(), path, query, settings.url_query, policy.secret_names)
    facts |= who.facts
    facts |= page
    if method:
        facts["$request_method"] = method[:_MAX_METHOD_CHARACTERS]
    ip = who.address if policy.believes_visitors else None
    if ip is None:
        chain = address.forwarded_chain(who.chain) if settings.address_header == "forwarded" else who.chain
        ip = address.client_address(chain, peer, policy.trusted_proxies)
    if ip is not None:
        facts["$ip"] = ip
