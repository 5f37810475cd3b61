"""A Quart shop. Run it: quart --app examples/quart_app.py run"""

from quart import Quart, session

from hogline import PostHog
from hogline.interceptors.quart import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = Quart(__name__)
app.secret_key = "change me"
PostHogInterceptor(
    app,
    client=posthog,
    capture_exceptions=True,
    distinct_id=lambda request: session.get("user_id"),
)


@app.post("/checkout")
async def checkout():
    posthog.capture("checkout", properties={"total": 42})
    return {"ok": True}


@app.get("/broken")
async def broken():
    raise RuntimeError("the shop is on fire")
