"""Feature flags in a request. Run it: uvicorn examples.flags_app:app"""

from fastapi import FastAPI

from hogline import PostHog, set_context_person_properties
from hogline.interceptors.fastapi import PostHogInterceptor

posthog = PostHog()  # with HOGLINE_SECRET_KEY set, flags are evaluated in this process
app = FastAPI()
app.add_middleware(PostHogInterceptor, client=posthog)


@app.get("/price")
async def price():
    set_context_person_properties({"plan": "pro"})  # the flags' conditions use these
    flags = await posthog.aevaluate_flags()  # of the request's distinct id
    total = 42 if flags.is_enabled("summer-sale") else 50
    posthog.capture("price shown", properties={"total": total}, flags=flags)
    return {"total": total, "theme": flags.get_flag("theme") or "light"}
