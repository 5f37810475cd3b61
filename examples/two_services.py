"""A shop and its stock service: the events of both carry the browser's session.

python -m uvicorn examples.two_services:stock --port 8001
STOCK_URL=http://127.0.0.1:8001 python -m uvicorn examples.two_services:shop --port 8000
"""

import os

import httpx
from fastapi import FastAPI

from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor
from hogline.propagation.httpx import PostHogPropagation

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
stock_url = os.environ.get("STOCK_URL", "http://stock.internal")

shop = FastAPI()
shop.add_middleware(PostHogInterceptor, client=posthog)
http = httpx.AsyncClient()
PostHogPropagation(http, hosts=["stock.internal", "127.0.0.1"])  # list only your own services


@shop.post("/checkout")
async def checkout():
    posthog.capture("checkout")
    return (await http.get(f"{stock_url}/reserve")).json()


stock = FastAPI()
stock.add_middleware(PostHogInterceptor, client=posthog)


@stock.get("/reserve")
async def reserve():
    posthog.capture("reserved")
    return {"left": 3}
