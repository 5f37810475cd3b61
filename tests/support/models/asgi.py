"""ASGI: the same app behind the interceptor, which flushes when the lifespan ends."""

from hogline.interceptors.asgi import PostHogInterceptor
from tests.support.models.client import capture, client


async def bare(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = capture(scope["path"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


app = PostHogInterceptor(bare, client=client)
