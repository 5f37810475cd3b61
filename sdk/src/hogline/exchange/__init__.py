"""The seam that all interceptors share: one request and its response, no framework named.

`exchange.py` knows who acts and what the request was, `exceptions.py` which exceptions it raised, `policy.py` what the app
asked for. Nothing here knows a framework, a server or a thread.
"""

from hogline.exchange.exchange import (
    HEADERS,
    Exchange,
    RequestLine,
    annotate,
    current_exchange,
    observe,
    surrounding_exchange,
)
from hogline.exchange.policy import Policy
from hogline.exchange.recorder import ObservedException

__all__ = [
    "HEADERS",
    "Exchange",
    "ObservedException",
    "Policy",
    "RequestLine",
    "annotate",
    "current_exchange",
    "observe",
    "surrounding_exchange",
]
