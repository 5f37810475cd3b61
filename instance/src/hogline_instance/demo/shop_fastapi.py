"""The shop on FastAPI, an ordinary app with the interceptor added in one line.

The demo runs it in its own process.

The pages' buttons use fetch, so that requests carry the browser's tracing headers. Navigations
carry no headers; for these the interceptor reads posthog-js's first-party cookie (`read_cookie`).
"""

import asyncio
from typing import Annotated, Any

from fastapi import BackgroundTasks, Body, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles

from hogline.interceptors.fastapi import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card
from hogline_instance.demo.shop import COOKIE, STATIC, Shop

__all__ = ["create_app"]


def create_app(shop: Shop) -> FastAPI:
    """Return the shop as an app of this framework."""
    posthog = shop.posthog
    app = FastAPI(title="Moka & Co", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True, read_cookie=True)
    app.mount("/static", StaticFiles(directory=STATIC))

    def page(request: Request, name: str, **values: Any) -> Response:
        response = HTMLResponse(shop.page(name, request.cookies, **values), headers=shop.headers)
        if (cookie := shop.new_cookie(request.cookies)) is not None:
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="lax")
        return response

    @app.exception_handler(CardDeclinedError)
    async def declined(_request: Request, error: CardDeclinedError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 402)

    @app.get("/")
    def home(request: Request) -> Response:
        return page(request, "home")

    @app.get("/product/{slug}")
    def product(request: Request, slug: str) -> Response:
        if slug not in PRODUCTS:
            raise HTTPException(404, "no such product")
        posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
        return page(request, "product", product=PRODUCTS[slug])

    @app.get("/cart")
    def cart_page(request: Request) -> Response:
        return page(request, "cart")

    _add_actions(app, shop)
    return app


def _add_actions(app: FastAPI, shop: Shop) -> None:
    """Add the routes that the pages' scripts call."""
    posthog = shop.posthog

    @app.post("/api/cart")
    async def change_cart(request: Request, product: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
        if product not in PRODUCTS:
            raise HTTPException(404, "no such product")
        return shop.add(shop.cart(request.cookies), product)

    @app.post("/api/sign-in")
    async def sign_in(request: Request, email: Annotated[str, Body(embed=True)]) -> dict[str, str]:
        return shop.sign_in(shop.cart(request.cookies), email)

    @app.post("/api/gift-card")
    def gift_card(request: Request, code: Annotated[str, Body(embed=True)]) -> dict[str, float]:
        cart = shop.cart(request.cookies)
        posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
        return {"total": apply_gift_card(cart.total, code)}

    @app.post("/api/checkout")
    async def checkout(
        request: Request, later: BackgroundTasks, card: Annotated[str, Body(embed=True)] = "4242"
    ) -> dict[str, Any]:
        cart = shop.cart(request.cookies)
        total, items = cart.total, cart.count
        posthog.capture("checkout started", properties={"total": total, "items": items})
        if card == "offline":
            raise HTTPException(503, "the payment provider does not respond")
        receipt = shop.pay(cart, total, card)
        cart.items.clear()
        posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
        later.add_task(_send_receipt, shop, receipt)
        return {"receipt": receipt, "total": total}

    @app.get("/api/export")
    async def export() -> StreamingResponse:
        return StreamingResponse(shop.lines(), media_type="text/csv")


async def _send_receipt(shop: Shop, receipt: str) -> None:
    await asyncio.sleep(0.05)
    shop.send_receipt(receipt)
