"""The shop on Starlette, written as an ordinary app.

It does the same as `hogline_instance/demo/shop_fastapi.py`, with plain endpoints and a table of
routes.
"""

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from hogline.interceptors.starlette import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card
from hogline_instance.demo.shop import COOKIE, STATIC, Shop

__all__ = ["create_app"]


def create_app(shop: Shop) -> Starlette:
    """Return the shop as an app of this framework."""
    interceptor = Middleware(PostHogInterceptor, client=shop.posthog, capture_exceptions=True, read_cookie=True)
    app = Starlette(
        routes=[
            Route("/", home),
            Route("/product/{slug}", product),
            Route("/cart", cart_page),
            Route("/api/cart", change_cart, methods=["POST"]),
            Route("/api/sign-in", sign_in, methods=["POST"]),
            Route("/api/gift-card", gift_card, methods=["POST"]),
            Route("/api/checkout", checkout, methods=["POST"]),
            Route("/api/export", export),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[interceptor],
        exception_handlers={CardDeclinedError: declined},
    )
    app.state.shop = shop
    return app


async def declined(_request: Request, error: Exception) -> JSONResponse:
    """Respond to a declined card with 402."""
    return JSONResponse({"error": str(error)}, 402)


def _shop(request: Request) -> Shop:
    shop: Shop = request.app.state.shop
    return shop


def _page(request: Request, name: str, **values: Any) -> Response:
    shop = _shop(request)
    response = HTMLResponse(shop.page(name, request.cookies, **values), headers=shop.headers)
    if (cookie := shop.new_cookie(request.cookies)) is not None:
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="lax")
    return response


def home(request: Request) -> Response:
    """Show the products."""
    return _page(request, "home")


def product(request: Request) -> Response:
    """Show one product."""
    slug = request.path_params["slug"]
    if slug not in PRODUCTS:
        raise HTTPException(404, "no such product")
    _shop(request).posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
    return _page(request, "product", product=PRODUCTS[slug])


def cart_page(request: Request) -> Response:
    """Show the cart."""
    return _page(request, "cart")


async def change_cart(request: Request) -> JSONResponse:
    """Put a product into the cart."""
    shop, product = _shop(request), await _field(request, "product")
    if product not in PRODUCTS:
        raise HTTPException(404, "no such product")
    return JSONResponse(shop.add(shop.cart(request.cookies), product))


async def sign_in(request: Request) -> JSONResponse:
    """Sign the visitor in."""
    shop = _shop(request)
    return JSONResponse(shop.sign_in(shop.cart(request.cookies), await _field(request, "email")))


async def gift_card(request: Request) -> JSONResponse:
    """Apply a gift card."""
    shop, code = _shop(request), await _field(request, "code")
    cart = shop.cart(request.cookies)
    shop.posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
    return JSONResponse({"total": apply_gift_card(cart.total, code)})


async def checkout(request: Request) -> JSONResponse:
    """Charge the card; the receipt is sent after the response."""
    shop, card = _shop(request), await _field(request, "card", "4242")
    cart = shop.cart(request.cookies)
    total, items = cart.total, cart.count
    shop.posthog.capture("checkout started", properties={"total": total, "items": items})
    if card == "offline":
        raise HTTPException(503, "the payment provider does not respond")
    receipt = shop.pay(cart, total, card)
    cart.items.clear()
    shop.posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
    later = BackgroundTask(_send_receipt, shop, receipt)
    return JSONResponse({"receipt": receipt, "total": total}, background=later)


async def export(request: Request) -> StreamingResponse:
    """Stream the catalogue."""
    return StreamingResponse(_shop(request).lines(), media_type="text/csv")


async def _field(request: Request, name: str, default: str | None = None) -> str:
    """Return a string of the request's JSON; abort with 400 if it is missing."""
    try:
        value = (await request.json()).get(name, default)
    except (ValueError, AttributeError) as error:
        raise HTTPException(400, "JSON is needed") from error
    if not isinstance(value, str):
        raise HTTPException(400, f"{name} is needed")
    return value


async def _send_receipt(shop: Shop, receipt: str) -> None:
    await asyncio.sleep(0.05)
    shop.send_receipt(receipt)
