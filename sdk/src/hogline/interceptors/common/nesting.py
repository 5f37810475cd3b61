"""Find the exchange of an outer interceptor in a scope or an environ.

It is found through a bridge between ASGI and WSGI, too.
"""

from typing import Any

from hogline.exchange import Exchange

__all__ = ["ENVIRON_KEY", "EXCHANGE_KEY", "SCOPE_KEY", "exchange_in"]

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
