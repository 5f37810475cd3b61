"""A Connexion shop. Run it: uvicorn examples.connexion_app:app"""

from connexion import AsyncApp
from connexion.middleware import MiddlewarePosition

from hogline import PostHog
from hogline.interceptors.connexion import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
SPECIFICATION = {
    "openapi": "3.0.0",
    "info": {"title": "shop", "version": "1"},
    "paths": {
        "/checkout": {"post": {"operationId": "examples.connexion_app.checkout", "responses": {"200": {"description": "paid"}}}},
        "/broken": {"get": {"operationId": "examples.connexion_app.broken", "responses": {"200": {"description": "never"}}}},
    },
}  # fmt: skip


async def checkout():
    posthog.capture("checkout", properties={"total": 42})  # with the browser's session
    return {"ok": True}


async def broken():
    raise RuntimeError("the shop is on fire")


app = AsyncApp(__name__)
app.add_middleware(PostHogInterceptor, MiddlewarePosition.BEFORE_EXCEPTION, client=posthog, capture_exceptions=True)
app.add_api(SPECIFICATION)
