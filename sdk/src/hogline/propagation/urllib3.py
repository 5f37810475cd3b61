"""urllib3: wraps one pool manager, which calls itself for each hop of a redirect.

    PostHogPropagation(urllib3.PoolManager(), hosts=["api.shop.example"])

Source: docs/internals/frameworks.md#urllib3.
"""

import functools
import threading
from collections.abc import Sequence
from typing import Any

import urllib3

from hogline.propagation.outgoing import NAMES, Destinations

__all__ = ["PostHogPropagation"]


class PostHogPropagation:
    """Carries the context along with the requests of *manager* to the *hosts* that are listed."""

    def __init__(self, manager: urllib3.PoolManager, *, hosts: Sequence[str]) -> None:
        self._destinations = Destinations(hosts)
        self._manager = manager
        self._hops = threading.local()  # the headers that the caller of the first hop set
        manager.urlopen = self._wrapped(manager.urlopen)  # type: ignore[method-assign] # no hook sees a hop

    def _wrapped(self, urlopen: Any) -> Any:
        @functools.wraps(urlopen)
        def urlopen_with_headers(method: str, url: str, redirect: bool = True, **kw: Any) -> Any:
            given = kw.get("headers")
            headers = urllib3.HTTPHeaderDict(self._manager.headers if given is None else given)
            first = getattr(self._hops, "callers", None) is None
            if first:
                self._hops.callers = {name for name in NAMES if name in headers}
            try:
                for name in set(NAMES) - self._hops.callers:  # ours, from the previous hop
                    headers.discard(name)
                for name, value in self._destinations.headers(url).items():
                    if name not in headers:
                        headers[name] = value
                return urlopen(method, url, redirect, **{**kw, "headers": headers})
            finally:
                if first:
                    self._hops.callers = None

        return urlopen_with_headers
