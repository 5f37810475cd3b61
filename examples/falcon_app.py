"""A Falcon shop. Run it: waitress-serve examples.falcon_app:app"""

import falcon

from hogline import PostHog
from hogline.interceptors.falcon import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


class Checkout:
    def on_post(self, req, resp):
        posthog.capture("checkout", properties={"total": 42})  # with the browser's session
        resp.media = {"ok": True}


class Broken:
    def on_get(self, req, resp):
        raise RuntimeError("the shop is on fire")


app = falcon.App()
PostHogInterceptor(app, client=posthog, capture_exceptions=True)
app.add_route("/checkout", Checkout())
app.add_route("/broken", Broken())
