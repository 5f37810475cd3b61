"""An aiohttp shop. Run it: python examples/aiohttp_app.py [port]"""

import sys

from aiohttp import web

from hogline import PostHog
from hogline.interceptors.aiohttp import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = web.Application(middlewares=[PostHogInterceptor(client=posthog, capture_exceptions=True)])
routes = web.RouteTableDef()


@routes.post("/checkout")
async def checkout(request):
    posthog.capture("checkout", properties={"total": 42})
    return web.json_response({"ok": True})


@routes.get("/broken")
async def broken(request):
    raise RuntimeError("the shop is on fire")


app.add_routes(routes)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
