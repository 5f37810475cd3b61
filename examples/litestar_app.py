"""Litestar: `uvicorn examples.litestar_app:app`."""

from litestar import Litestar, get, post

from hogline import PostHog
from hogline.interceptors.litestar import PostHogInterceptor

posthog = PostHog()  # HOGLINE_PROJECT_TOKEN and HOGLINE_HOST, or PostHog("<project token>", host="...")


@post("/checkout", status_code=200)
async def checkout() -> dict[str, bool]:
    posthog.capture("checkout", properties={"total": 42})
    return {"ok": True}


@get("/broken")
async def broken() -> None:
    raise RuntimeError("the shop is on fire")


app = Litestar([checkout, broken], plugins=[PostHogInterceptor(client=posthog, capture_exceptions=True)])
