"""A Robyn shop. Run it: python examples/robyn_app.py [port]"""

import sys

from robyn import Robyn

from hogline import PostHog
from hogline.interceptors.robyn import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = Robyn(__file__)
PostHogInterceptor(app, client=posthog, capture_exceptions=True)  # before the routes


@app.post("/checkout")
async def checkout():
    posthog.capture("checkout", properties={"total": 42})
    return {"ok": True}


@app.get("/broken")
async def broken():
    raise RuntimeError("the shop is on fire")


if __name__ == "__main__":
    app.start(host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
