"""The shop on aiohttp, written as an ordinary app.

It does the same as `hogline_instance/demo/shop_fastapi.py`. It runs on aiohttp's own server.
"""

import asyncio
import socket
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from hogline.interceptors.aiohttp import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card
from hogline_instance.demo.shop import COOKIE, STATIC, Shop

__all__ = ["create_app", "serve"]

routes = web.RouteTableDef()
routes.static("/static", STATIC)
SHOP = web.AppKey("shop", Shop)
LATER = web.AppKey("later", set[asyncio.Task[None]])


def create_app(shop: Shop) -> web.Application:
    """Return the shop as an app of this framework."""
    interceptor = PostHogInterceptor(client=shop.posthog, capture_exceptions=True, read_cookie=True)
    app = web.Application(middlewares=[interceptor, declined])
    app[SHOP], app[LATER] = shop, set()
    app.on_shutdown.append(_finish)
    app.add_routes(routes)
    return app


def serve(app: web.Application, listener: socket.socket) -> None:
    """Serve *app* until SIGTERM."""
    web.run_app(app, sock=listener, print=None, access_log=None, shutdown_timeout=3)


@web.middleware
async def declined(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Respond to a declined card with 402."""
    try:
        return await handler(request)
    except CardDeclinedError as error:
        return web.json_response({"error": str(error)}, status=402)


def _page(request: web.Request, name: str, **values: Any) -> web.Response:
    shop = request.app[SHOP]
    text = shop.page(name, request.cookies, **values)
    response = web.Response(text=text, content_type="text/html", headers=shop.headers)
    if (cookie := shop.new_cookie(request.cookies)) is not None:
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax")
    return response


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    """Show the products."""
    return _page(request, "home")


@routes.get("/product/{slug}")
async def product(request: web.Request) -> web.Response:
    """Show one product."""
    slug = request.match_info["slug"]
    if slug not in PRODUCTS:
        raise web.HTTPNotFound(text="no such product")
    request.app[SHOP].posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
    return _page(request, "product", product=PRODUCTS[slug])


@routes.get("/cart")
async def cart_page(request: web.Request) -> web.Response:
    """Show the cart."""
    return _page(request, "cart")


@routes.post("/api/cart")
async def change_cart(request: web.Request) -> web.Response:
    """Put a product into the cart."""
    shop, product = request.app[SHOP], await _field(request, "product")
    if product not in PRODUCTS:
        raise web.HTTPNotFound(text="no such product")
    return web.json_response(shop.add(shop.cart(request.cookies), product))


@routes.post("/api/sign-in")
async def sign_in(request: web.Request) -> web.Response:
    """Sign the visitor in."""
    shop = request.app[SHOP]
    return web.json_response(shop.sign_in(shop.cart(request.cookies), await _field(request, "email")))


@routes.post("/api/gift-card")
async def gift_card(request: web.Request) -> web.Response:
    """Apply a gift card."""
    shop, code = request.app[SHOP], await _field(request, "code")
    cart = shop.cart(request.cookies)
    shop.posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
    return web.json_response({"total": apply_gift_card(cart.total, code)})


@routes.post("/api/checkout")
async def checkout(request: web.Request) -> web.Response:
    """Charge the card; the receipt is sent after the response."""
    shop, card = request.app[SHOP], await _field(request, "card", "4242")
    cart = shop.cart(request.cookies)
    total, items = cart.total, cart.count
    shop.posthog.capture("checkout started", properties={"total": total, "items": items})
    if card == "offline":
        raise web.HTTPServiceUnavailable(text="the payment provider does not respond")
    receipt = shop.pay(cart, total, card)
    cart.items.clear()
    shop.posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
    later = request.app[LATER]
    task = asyncio.create_task(_send_receipt(shop, receipt))
    later.add(task)  # the loop holds only weak references to tasks
    task.add_done_callback(later.discard)
    return web.json_response({"receipt": receipt, "total": total})


@routes.get("/api/export")
async def export(request: web.Request) -> web.StreamResponse:
    """Stream the catalogue."""
    response = web.StreamResponse(headers={"Content-Type": "text/csv"})
    await response.prepare(request)
    for line in request.app[SHOP].lines():
        await response.write(line.encode())
    await response.write_eof()
    return response


async def _field(request: web.Request, name: str, default: str | None = None) -> str:
    """Return a string of the request's JSON; abort with 400 if it is missing."""
    try:
        value = (await request.json()).get(name, default)
    except (ValueError, AttributeError) as error:
        raise web.HTTPBadRequest(text="JSON is needed") from error
    if not isinstance(value, str):
        raise web.HTTPBadRequest(text=f"{name} is needed")
    return value


async def _send_receipt(shop: Shop, receipt: str) -> None:
    await asyncio.sleep(0.05)
    shop.send_receipt(receipt)


async def _finish(app: web.Application) -> None:
    await asyncio.gather(*app[LATER])
