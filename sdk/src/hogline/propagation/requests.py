"""Requests: wraps the adapters of one session, which send each hop of a redirect.

    PostHogPropagation(requests.Session(), hosts=["api.shop.example"])

Each hop is a copy of the prepared request, so a header of one hop is not on the next.
`requests.get` and similar functions make a new session each time and have no hook. Source:
docs/internals/frameworks.md#requests.
"""

from collections.abc import Sequence
from typing import Any

import requests
from requests.adapters import BaseAdapter

from hogline.propagation.outgoing import Destinations

__all__ = ["PostHogAdapter", "PostHogPropagation"]


class PostHogPropagation:
    """Carries the context along with the requests of *session* to the *hosts* that are listed.

    Adapters that are mounted later are wrapped with `PostHogAdapter`.
    """

    def __init__(self, session: requests.Session, *, hosts: Sequence[str]) -> None:
        for prefix, adapter in list(session.adapters.items()):
            session.mount(prefix, PostHogAdapter(adapter, hosts=hosts))


class PostHogAdapter(BaseAdapter):
    """An adapter around *adapter* that carries the context to the *hosts* that are listed."""

    def __init__(self, adapter: BaseAdapter, *, hosts: Sequence[str]) -> None:
        super().__init__()
        self._adapter = adapter
        self._destinations = Destinations(hosts)

    def __getattr__(self, name: str) -> Any:
        if name == "_adapter":  # while it is being unpickled
            raise AttributeError(name)
        return getattr(self._adapter, name)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Send one hop."""
        wanted = self._destinations.headers(request.url or "")
        if wanted:
            request = request.copy()
            for name, value in wanted.items():
                request.headers.setdefault(name, value)
        return self._adapter.send(request, *args, **kwargs)

    def close(self) -> None:
        """Close the adapter inside."""
        self._adapter.close()
