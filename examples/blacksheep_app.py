"""A BlackSheep shop. Run it: uvicorn examples.blacksheep_app:app"""

from blacksheep import Application, json

from hogline import PostHog
from hogline.interceptors.blacksheep import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
shop = Application()


@shop.router.post("/checkout")
async def checkout():
    posthog.capture("checkout", properties={"total": 42})
    return json({"ok": True})


@shop.router.get("/broken")
async def broken():
    raise RuntimeError("the shop is on fire")


app = PostHogInterceptor(shop, client=posthog, capture_exceptions=True)
