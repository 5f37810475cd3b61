"""An ASGI server's lifespan: what waits is sent before the server hears that the shutdown is complete (rule `flush-at-lifespan`).

It is the only moment: uvicorn dies of the signal that ended it, before Python's exit handlers run.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from hogline.exchange.policy import Policy

__all__ = ["App", "Message", "Receive", "Scope", "Send", "run_lifespan"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_FLUSH_S = 5.0  # servers give a lifespan's end a few seconds before they kill
_WITHOUT_LIFESPAN = frozenset({("django.core.handlers.asgi", "ASGIHandler")})  # they raise, and servers do without
_BY_PROTOCOL = ("channels.routing", "ProtocolTypeRouter")  # raises too, unless it was given an application for it


async def run_lifespan(app: App, scope: Scope, receive: Receive, send: Send, policy: Policy) -> None:
    """Run the lifespan of *app*, errors included; in place of an app that is known to have none, an empty one."""

    async def sending(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            try:
                await policy.client.aflush(_FLUSH_S)
            except Exception as error:
                policy.complain("flush", error)
        await send(message)

    if _has_none(app):
        await _go_through(receive, sending)
    else:
        await app(scope, receive, sending)


def _has_none(app: App) -> bool:
    kinds = [(kind.__module__, kind.__qualname__) for kind in type(app).__mro__]
    if _BY_PROTOCOL in kinds:
        return "lifespan" not in getattr(app, "application_mapping", ())
    return any(kind in _WITHOUT_LIFESPAN for kind in kinds)


async def _go_through(receive: Receive, send: Send) -> None:
    for _ in ("startup", "shutdown"):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
