"""The shop on FastAPI, as people write such apps, with the interceptor in one line. Run by the demo in a process of its own.

The pages are for a person to click through; what they do goes by fetch, so that the browser's tracing headers travel along.
Navigations carry no headers, but posthog-js's first-party cookie (`read_cookie`).
"""

import asyncio
from typing import Annotated, Any

from fastapi import BackgroundTasks, Body, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles

from hogline.interceptors.fastapi import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card, charge
from hogline_instance.demo.counter import COOKIE, STATIC, Counter

__all__ = ["create_shop"]


def create_shop(counter: Counter) -> FastAPI:
    """Return the shop in front of *counter*."""
    posthog = counter.posthog
    shop = FastAPI(title="Moka & Co", docs_url=None, redoc_url=None, openapi_url=None)
    shop.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True, read_cookie=True)
    shop.mount("/static", StaticFiles(directory=STATIC))

    def page(request: Request, name: str, **values: Any) -> Response:
        response = HTMLResponse(counter.page(name, request.cookies, **values), headers=counter.headers)
        if (cookie := counter.new_cookie(request.cookies)) is not None:
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="lax")
        return response

    @shop.exception_handler(CardDeclinedError)
    async def declined(_request: Request, error: CardDeclinedError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 402)

    @shop.get("/")
    def home(request: Request) -> Response:
        return page(request, "home")

    @shop.get("/product/{slug}")
    def product(request: Request, slug: str) -> Response:
        if slug not in PRODUCTS:
            raise HTTPException(404, "no such product")
        posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
        return page(request, "product", product=PRODUCTS[slug])

    @shop.get("/cart")
    def cart_page(request: Request) -> Response:
        return page(request, "cart")

    _add_actions(shop, counter)
    return shop


def _add_actions(shop: FastAPI, counter: Counter) -> None:
    """Add what the pages call."""
    posthog = counter.posthog

    @shop.post("/api/cart")
    async def change_cart(request: Request, product: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
        if product not in PRODUCTS:
            raise HTTPException(404, "no such product")
        return counter.add(counter.cart(request.cookies), product)

    @shop.post("/api/sign-in")
    async def sign_in(request: Request, email: Annotated[str, Body(embed=True)]) -> dict[str, str]:
        return counter.sign_in(counter.cart(request.cookies), email)

    @shop.post("/api/gift-card")
    def gift_card(request: Request, code: Annotated[str, Body(embed=True)]) -> dict[str, float]:
        cart = counter.cart(request.cookies)
        posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
        return {"total": apply_gift_card(cart.total, code)}

    @shop.post("/api/checkout")
    async def checkout(
        request: Request, later: BackgroundTasks, card: Annotated[str, Body(embed=True)] = "4242"
    ) -> dict[str, Any]:
        cart = counter.cart(request.cookies)
        total, items = cart.total, cart.count
        posthog.capture("checkout started", properties={"total": total, "items": items})
        if card == "offline":
            raise HTTPException(503, "the payment provider does not answer")
        receipt = charge(total, card)
        cart.items.clear()
        posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
        later.add_task(_send_receipt, counter, receipt)
        return {"receipt": receipt, "total": total}

    @shop.get("/api/export")
    async def export() -> StreamingResponse:
        return StreamingResponse(counter.lines(), media_type="text/csv")


async def _send_receipt(counter: Counter, receipt: str) -> None:
    await asyncio.sleep(0.05)
    counter.send_receipt(receipt)
