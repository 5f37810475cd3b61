"""An Ellar shop. Run it: uvicorn examples.ellar_app:app"""

from ellar.app import AppFactory
from ellar.common import Controller, ControllerBase, get, post

from hogline import PostHog
from hogline.interceptors.ellar import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


@Controller("/")
class Shop(ControllerBase):
    @post("/checkout")
    async def checkout(self):
        posthog.capture("checkout", properties={"total": 42})  # with the browser's session
        return {"ok": True}

    @get("/broken")
    async def broken(self):
        raise ValueError("this arrives in Error Tracking, once, with status 500")


app = AppFactory.create_app(controllers=[Shop])
app.use_global_interceptors(PostHogInterceptor(client=posthog, capture_exceptions=True))
