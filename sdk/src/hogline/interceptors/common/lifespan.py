"""The lifespan of an ASGI app.

Queued events are sent before the server hears that shutdown is complete.

No later moment is certain: uvicorn raises the signal that ended it again, and the process dies
before Python's exit handlers run. Source: docs/internals/rules.md#flush-at-lifespan.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from hogline.exchange import Policy

__all__ = ["App", "Message", "Receive", "Scope", "Send", "run_lifespan"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# This class raises on a lifespan scope.
_WITHOUT_LIFESPAN = frozenset({("django.core.handlers.asgi", "ASGIHandler")})
# This one raises too, unless it was given a lifespan app.
_BY_PROTOCOL = ("channels.routing", "ProtocolTypeRouter")


async def run_lifespan(app: App, scope: Scope, receive: Receive, send: Send, policy: Policy) -> None:
    """Run the lifespan of *app*, its errors included.

    An app that is known to have none gets an empty one.
    """

    async def sending(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await policy.aflush()
        await send(message)

    if _has_none(app):
        await _run_empty(receive, sending)
    else:
        await app(scope, receive, sending)


def _has_none(app: App) -> bool:
    kinds = [(kind.__module__, kind.__qualname__) for kind in type(app).__mro__]
    if _BY_PROTOCOL in kinds:
        return "lifespan" not in getattr(app, "application_mapping", ())
    return any(kind in _WITHOUT_LIFESPAN for kind in kinds)


async def _run_empty(receive: Receive, send: Send) -> None:
    for _ in ("startup", "shutdown"):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
