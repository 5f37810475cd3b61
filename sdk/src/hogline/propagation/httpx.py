"""httpx, synchronous and asynchronous: an event hook, which runs for each hop of a redirect.

    PostHogPropagation(httpx.Client(), hosts=["api.shop.example"])

If a client's hooks are replaced later, ours is lost; `PostHogTransport` and `AsyncPostHogTransport`
do the same around a transport. Source: docs/internals/frameworks.md#httpx.
"""

from collections.abc import Sequence
from typing import Any

import httpx

from hogline.propagation.outgoing import Destinations

__all__ = ["AsyncPostHogTransport", "PostHogPropagation", "PostHogTransport"]

# The key, in a request's extensions, of the headers that we added. Redirects inherit it.
_OURS = "hogline"


class PostHogPropagation:
    """Carries the context along with the requests of *client* to the *hosts* that are listed."""

    def __init__(self, client: httpx.Client | httpx.AsyncClient, *, hosts: Sequence[str]) -> None:
        destinations = Destinations(hosts)

        def hook(request: httpx.Request) -> None:
            _add_headers(request, destinations)

        async def async_hook(request: httpx.Request) -> None:
            _add_headers(request, destinations)

        hooks = client.event_hooks
        chosen: Any = async_hook if isinstance(client, httpx.AsyncClient) else hook
        hooks["request"] = [*hooks.get("request", []), chosen]
        client.event_hooks = hooks


class PostHogTransport(httpx.BaseTransport):
    """A transport around *transport* that carries the context to the *hosts* that are listed."""

    def __init__(self, transport: httpx.BaseTransport, *, hosts: Sequence[str]) -> None:
        self._transport = transport
        self._destinations = Destinations(hosts)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one hop."""
        _add_headers(request, self._destinations)
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Close the transport inside."""
        self._transport.close()


class AsyncPostHogTransport(httpx.AsyncBaseTransport):
    """`PostHogTransport` for asynchronous clients."""

    def __init__(self, transport: httpx.AsyncBaseTransport, *, hosts: Sequence[str]) -> None:
        self._transport = transport
        self._destinations = Destinations(hosts)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one hop."""
        _add_headers(request, self._destinations)
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._transport.aclose()


def _add_headers(request: httpx.Request, destinations: Destinations) -> None:
    # A redirect's request starts with the headers of the previous one, including ours.
    for name in request.extensions.get(_OURS, ()):
        request.headers.pop(name, None)
    wanted = destinations.headers(str(request.url))
    ours = [name for name in wanted if name not in request.headers]
    for name in ours:
        request.headers[name] = wanted[name]
    if ours or _OURS in request.extensions:
        request.extensions = {**request.extensions, _OURS: ours}
