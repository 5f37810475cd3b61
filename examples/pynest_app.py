"""A PyNest shop. Run it: uvicorn examples.pynest_app:http_server"""

from nest.core import Controller, Get, Module, Post, PyNestFactory

from hogline import PostHog
from hogline.interceptors.pynest import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


@Controller("/")
class Shop:
    @Post("/checkout")
    async def checkout(self):
        posthog.capture("checkout", properties={"total": 42})  # with the browser's session
        return {"ok": True}

    @Get("/broken")
    async def broken(self):
        raise ValueError("this arrives in Error Tracking, once, with status 500")


@Module(controllers=[Shop])
class AppModule:
    pass


app = PyNestFactory.create(AppModule)
app.use(PostHogInterceptor, client=posthog, capture_exceptions=True)
http_server = app.get_server()
