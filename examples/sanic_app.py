"""A Sanic shop. Run it: python examples/sanic_app.py [port]"""

import sys

from sanic import Sanic
from sanic.response import json

from hogline import PostHog
from hogline.interceptors.sanic import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = Sanic("shop")
PostHogInterceptor(app, client=posthog, capture_exceptions=True)


@app.post("/checkout")
async def checkout(request):
    posthog.capture("checkout", properties={"total": 42})
    return json({"ok": True})


@app.get("/broken")
async def broken(request):
    raise RuntimeError("the shop is on fire")


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000, single_process=True)
