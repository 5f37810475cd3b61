"""aiohttp's client (3.12 and later): a client middleware, which runs for each hop of a redirect.

    ClientSession(middlewares=(PostHogPropagation(hosts=["api.shop.example"]),))

Every hop is a request of its own with the caller's headers, so a header of one hop is not on the
next. A request with its own `middlewares=` does not use the session's, and gets no header.
Source: docs/internals/frameworks.md#aiohttp-client.
"""

from collections.abc import Sequence

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from hogline.propagation.outgoing import Destinations

__all__ = ["PostHogPropagation"]


class PostHogPropagation:
    """A client middleware that carries the context to the *hosts* that are listed."""

    def __init__(self, *, hosts: Sequence[str]) -> None:
        self._destinations = Destinations(hosts)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send one hop."""
        for name, value in self._destinations.headers(str(request.url)).items():
            request.headers.setdefault(name, value)
        return await handler(request)
