"""The seam that all interceptors share: one request and its response, no framework named.

`exchange.py` knows the acting person and the request, `exceptions.py` the exceptions that it
raised, and `policy.py` the options of the app. Nothing here knows a framework, a server or a
thread.
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
