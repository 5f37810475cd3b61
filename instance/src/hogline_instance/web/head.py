"""HEAD for every page and API route: the headers of GET, without its body (RFC 9110, 9.3.2)."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["answer_head"]

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def answer_head(app: Any, scope: _Scope, receive: _Receive, send: _Send) -> None:
    """Run *app* with GET, send only the head, and stop it: a live stream would never end."""
    answered = asyncio.Event()

    async def send_head(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and not answered.is_set():
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            answered.set()

    work = asyncio.ensure_future(app({**scope, "method": "GET"}, receive, send_head))
    done = asyncio.ensure_future(answered.wait())
    await asyncio.wait({work, done}, return_when=asyncio.FIRST_COMPLETED)
    done.cancel()
    if not work.done():
        work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
