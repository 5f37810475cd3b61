"""The app under test in the browser: a page with posthog-js, and an API with the interceptor.

One file, two origins.
"""

import os

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse

from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor

posthog = PostHog(os.environ["TOKEN"], host=os.environ["INSTANCE"], flush_interval=0.2)
app = FastAPI()
app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)
app.add_middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_methods=["*"],
    allow_headers=["content-type", "x-posthog-session-id", "x-posthog-window-id", "x-posthog-distinct-id"],
)

PAGE = """<!doctype html><html><head><title>Shop</title>
<link rel="icon" href="data:,"><script src="INSTANCE/static/array.js" crossorigin="anonymous"></script></head>
<body><button id="buy">Buy</button><script>
posthog.init("TOKEN", {
  api_host: "INSTANCE", OPTION: ["127.0.0.1"], opt_out_useragent_filter: true, person_profiles: "always",
  loaded: (instance) => { window.ready = true; },
});
</script></body></html>"""


@app.get("/page")
def page(option: str) -> HTMLResponse:
    assert option in ("tracing_headers", "__add_tracing_headers")
    html = (
        PAGE.replace("INSTANCE", os.environ["INSTANCE"]).replace("TOKEN", os.environ["TOKEN"]).replace("OPTION", option)
    )
    return HTMLResponse(html)


@app.post("/buy")
async def buy(request: Request, how: str) -> dict[str, str]:
    posthog.capture("bought", properties={"how": how})
    return {"how": how}


@app.post("/broken")
async def broken() -> None:
    raise ValueError("the shop is on fire")
