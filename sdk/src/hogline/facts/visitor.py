"""Visitor: the facts about a request's sender in its headers.

They are parsed once for each visitor, not for each request.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

from hogline.facts.address import only_address
from hogline.facts.tracing import DISTINCT_ID, SESSION_ID, WINDOW_ID, clean
from hogline.settings import AddressHeader

__all__ = ["HEADERS", "NOBODY", "Visitor", "joined_visitor", "visitor"]

_IDENTITY = (SESSION_ID, WINDOW_ID, DISTINCT_ID, "user-agent", "host")
HEADERS = {address_header: (*_IDENTITY, address_header) for address_header in get_args(AddressHeader)}
"""The headers of a `Visitor`, in its order; the key is the header that holds addresses."""
_MAX_CHARACTERS = 1000  # of all values together; longer ones are parsed one by one, and not cached
_CONTROL_BYTES = bytes({*range(0x20), *range(0x7F, 0xA0)} - {0x0A})  # all but the newline


class Visitor(NamedTuple):
    """Usable values of headers, "" for none.

    The host is as it came, and the addresses are joined by commas.
    Source: docs/internals/capture-protocol.md#tracing-headers.
    """

    session: str
    window: str
    person: str
    agent: str
    host: str
    chain: str
    address: str | None
    """The address, if *chain* is exactly one."""
    facts: Mapping[str, Any]
    """The first four as event properties."""


def visitor(session: str, window: str, person: str, agent: str, host: str, chain: str) -> Visitor:
    """Return the visitor with these usable values."""
    facts = {"$session_id": session, "$window_id": window, "$user_agent": agent, "$raw_user_agent": agent}
    if not (session and window and agent):
        facts = {name: value for name, value in facts.items() if value}
    return Visitor(session, window, person, agent, host, chain, only_address(chain), facts)


NOBODY = visitor("", "", "", "", "", "")
"""The visitor of a request without headers, or whose headers cannot be read."""


def joined_visitor(joined: bytes) -> Visitor:
    """Return the visitor for header values *joined* by newlines, one value for each header.

    All values are checked at once, since nearly all are plain. The result is cached, since a
    visitor's next request has the same values.
    """
    found = _plain_visitor(joined) if len(joined) <= _MAX_CHARACTERS else None
    if found is None:
        *identity, host, chain = joined.decode("latin-1").split("\n")
        session, window, person, agent = (clean(value) or "" for value in identity)
        return visitor(session, window, person, agent, host, chain)
    return found


@functools.lru_cache(maxsize=512)
def _plain_visitor(joined: bytes) -> Visitor | None:
    values = joined.decode("latin-1").split("\n")
    if len(values) != len(_IDENTITY) + 1 or len(joined.translate(None, _CONTROL_BYTES)) != len(joined):
        return None
    return visitor(*map(str.strip, values))
