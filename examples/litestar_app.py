"""A Litestar shop. Run it: uvicorn examples.litestar_app:app"""

from litestar import Litestar, get, post

from hogline import PostHog
from hogline.interceptors.litestar import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


@post("/checkout", status_code=200)
async def checkout() -> dict[str, bool]:
    posthog.capture("checkout", properties={"total": 42})
    return {"ok": True}


@get("/broken")
async def broken() -> None:
    raise RuntimeError("the shop is on fire")


app = Litestar([checkout, broken], plugins=[PostHogInterceptor(client=posthog, capture_exceptions=True)])
