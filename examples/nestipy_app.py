"""A Nestipy shop. Run it: uvicorn examples.nestipy_app:app"""

from nestipy.common import Controller, Get, Module, Post
from nestipy.core import NestipyFactory

from hogline import PostHog
from hogline.interceptors.nestipy import posthog_interceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


@Controller("/")
class Shop:
    @Post("/checkout")
    async def checkout(self) -> dict:
        posthog.capture("checkout", properties={"total": 42})  # with the browser's session
        return {"ok": True}

    @Get("/broken")
    async def broken(self) -> dict:
        raise ValueError("this arrives in Error Tracking, once, with status 500")


@Module(controllers=[Shop])
class AppModule:
    pass


app = NestipyFactory.create(AppModule)
app.use_global_interceptors(posthog_interceptor(client=posthog, capture_exceptions=True))
