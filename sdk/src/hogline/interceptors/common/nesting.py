"""Find the exchange of an outer interceptor in a scope or an environ.

It is found through a bridge between ASGI and WSGI, too.
"""

import asyncio
from typing import Any

from hogline.exchange import Exchange, current_exchange, surrounding_exchange
from hogline.guard import guard

__all__ = ["ENVIRON_KEY", "EXCHANGE_KEY", "SCOPE_KEY", "exchange_around", "exchange_in"]

EXCHANGE_KEY = "hogline.exchange"
"""The key of the exchange in a scope or environ. Copies that middleware makes have it too."""
SCOPE_KEY = "asgi.scope"
"""The key under which a2wsgi keeps, in an environ, the scope that it made the environ of."""
ENVIRON_KEY = "wsgi_environ"
"""The key under which a2wsgi keeps, in a scope, the environ that it made the scope of."""


def exchange_in(carrier: Any) -> Exchange | None:
    """Return the open exchange in *carrier*.

    If a bridge made *carrier* of a scope or environ, that one is searched, too.
    """
    exchange: Exchange | None = carrier.get(EXCHANGE_KEY)
    if exchange is None:
        for key in (SCOPE_KEY, ENVIRON_KEY):
            if key in carrier and isinstance(translated := carrier[key], dict):
                exchange = translated.get(EXCHANGE_KEY)
    return exchange if exchange is not None and exchange.is_open else None


def exchange_around(mine: Exchange, carrier: Any) -> Exchange | None:
    """Return the open exchange of an outer interceptor of the same request as *mine*, if any.

    *carrier* is the scope or environ of *mine*.
    """
    known = exchange_in(carrier)
    if known is not None:
        return known
    outer = current_exchange()
    if outer is None:
        return None
    with guard("request", mine.policy.complain):
        return None if _is_from_a_client(outer, mine, carrier) else surrounding_exchange(mine)
    return None


def _is_from_a_client(outer: Exchange, mine: Exchange, carrier: Any) -> bool:
    """Return whether no bridge can have made *carrier* of the outer request.

    Then it is from an HTTP client inside the app, which may repeat every fact of the outer request.
    Source: docs/internals/frameworks.md#bridges-and-clients-in-process.
    """
    if SCOPE_KEY in carrier or ENVIRON_KEY in carrier:
        return False
    if mine.protocol == "asgi":
        if outer.protocol == "asgi":
            return True  # a bridge leads from one protocol to the other
        return _have_different_ports(getattr(outer, "environ", {}), carrier)
    if not carrier.get("wsgi.multithread", True):
        return True
    if outer.protocol == "wsgi":
        return not carrier.get("wsgi.multiprocess", True)
    return outer.protocol == "asgi" and _is_in_loop()


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _have_different_ports(environ: Any, scope: Any) -> bool:
    client = scope.get("client")
    known = str(environ.get("REMOTE_PORT") or 0)
    return bool(client) and client[1] not in (None, 0) and known not in ("0", str(client[1]))
