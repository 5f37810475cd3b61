"""The shop on Sanic, written as an ordinary app.

It does the same as `hogline_instance/demo/shop_fastapi.py`. It runs on Sanic's own server.
"""

import asyncio
import socket
from typing import Any

from sanic import Blueprint, Request, Sanic
from sanic.exceptions import BadRequest, NotFound, ServiceUnavailable
from sanic.response import HTTPResponse, html, json

from hogline.interceptors.sanic import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card
from hogline_instance.demo.shop import COOKIE, STATIC, Shop

__all__ = ["create_app", "serve"]

routes = Blueprint("shop")


def create_app(shop: Shop) -> Any:
    """Return the shop as an app of this framework; call it once per process."""
    app = Sanic("moka", configure_logging=False)
    PostHogInterceptor(app, client=shop.posthog, capture_exceptions=True, read_cookie=True)
    app.ctx.shop = shop
    app.static("/static", STATIC)
    app.blueprint(routes)
    app.error_handler.add(CardDeclinedError, declined)
    return app


def serve(app: Any, listener: socket.socket) -> None:
    """Serve *app* until SIGTERM."""
    app.run(sock=listener, single_process=True, motd=False, access_log=False)


async def declined(_request: Request, error: CardDeclinedError) -> HTTPResponse:
    """Respond to a declined card with 402."""
    return json({"error": str(error)}, status=402)


def _page(request: Request, name: str, **values: Any) -> HTTPResponse:
    shop: Shop = request.app.ctx.shop
    response = html(shop.page(name, request.cookies, **values), headers=shop.headers)
    if (cookie := shop.new_cookie(request.cookies)) is not None:
        response.add_cookie(COOKIE, cookie, httponly=True, samesite="Lax", secure=False)
    return response


@routes.get("/")
async def home(request: Request) -> HTTPResponse:
    """Show the products."""
    return _page(request, "home")


@routes.get("/product/<slug>")
async def product(request: Request, slug: str) -> HTTPResponse:
    """Show one product."""
    if slug not in PRODUCTS:
        raise NotFound("no such product")
    request.app.ctx.shop.posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
    return _page(request, "product", product=PRODUCTS[slug])


@routes.get("/cart")
async def cart_page(request: Request) -> HTTPResponse:
    """Show the cart."""
    return _page(request, "cart")


@routes.post("/api/cart")
async def change_cart(request: Request) -> HTTPResponse:
    """Put a product into the cart."""
    shop, product = request.app.ctx.shop, _field(request, "product")
    if product not in PRODUCTS:
        raise NotFound("no such product")
    return json(shop.add(shop.cart(request.cookies), product))


@routes.post("/api/sign-in")
async def sign_in(request: Request) -> HTTPResponse:
    """Sign the visitor in."""
    shop = request.app.ctx.shop
    return json(shop.sign_in(shop.cart(request.cookies), _field(request, "email")))


@routes.post("/api/gift-card")
async def gift_card(request: Request) -> HTTPResponse:
    """Apply a gift card."""
    shop, code = request.app.ctx.shop, _field(request, "code")
    cart = shop.cart(request.cookies)
    shop.posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
    return json({"total": apply_gift_card(cart.total, code)})


@routes.post("/api/checkout")
async def checkout(request: Request) -> HTTPResponse:
    """Charge the card; the receipt is sent after the response."""
    shop, card = request.app.ctx.shop, _field(request, "card", "4242")
    cart = shop.cart(request.cookies)
    total, items = cart.total, cart.count
    shop.posthog.capture("checkout started", properties={"total": total, "items": items})
    if card == "offline":
        raise ServiceUnavailable("the payment provider does not respond")
    receipt = shop.pay(cart, total, card)
    cart.items.clear()
    shop.posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
    request.app.add_task(_send_receipt(shop, receipt))
    return json({"receipt": receipt, "total": total})


@routes.get("/api/export")
async def export(request: Request) -> None:
    """Stream the catalogue."""
    response = await request.respond(content_type="text/csv")
    for line in request.app.ctx.shop.lines():
        await response.send(line)
    await response.eof()


def _field(request: Request, name: str, default: str | None = None) -> str:
    """Return a string of the request's JSON; abort with 400 if it is missing."""
    value = request.json.get(name, default) if isinstance(request.json, dict) else None
    if not isinstance(value, str):
        raise BadRequest(f"{name} is needed")
    return value


async def _send_receipt(shop: Shop, receipt: str) -> None:
    await asyncio.sleep(0.05)
    shop.send_receipt(receipt)
