"""A Bottle shop. Run it: waitress-serve examples.bottle_app:app"""

from bottle import Bottle

from hogline import PostHog
from hogline.interceptors.bottle import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = Bottle()
app.install(PostHogInterceptor(client=posthog, capture_exceptions=True))


@app.post("/checkout")
def checkout():
    posthog.capture("checkout", properties={"total": 42})  # with the browser's session
    return {"ok": True}


@app.get("/broken")
def broken():
    raise RuntimeError("the shop is on fire")
