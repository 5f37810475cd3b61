"""A FastAPI shop. Run it: uvicorn examples.fastapi_app:app"""

from fastapi import FastAPI

from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = FastAPI()
app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)


@app.post("/checkout")
async def checkout():
    posthog.capture("checkout", properties={"total": 42})  # with the browser's session
    return {"ok": True}


@app.get("/broken")
async def broken():
    raise ValueError("this arrives in Error Tracking, once, with status 500")
