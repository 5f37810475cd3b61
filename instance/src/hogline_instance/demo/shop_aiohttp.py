"""The shop on aiohttp: the same as `shop_fastapi`, as people write it there, and on aiohttp's own server."""

import asyncio
import socket
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from hogline.interceptors.aiohttp import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card, charge
from hogline_instance.demo.counter import COOKIE, STATIC, Counter

__all__ = ["create_shop", "serve"]

routes = web.RouteTableDef()
routes.static("/static", STATIC)
COUNTER = web.AppKey("counter", Counter)
LATER = web.AppKey("later", set[asyncio.Task[None]])


def create_shop(counter: Counter) -> web.Application:
    """Return the shop in front of *counter*."""
    interceptor = PostHogInterceptor(client=counter.posthog, capture_exceptions=True, read_cookie=True)
    shop = web.Application(middlewares=[interceptor, declined])
    shop[COUNTER], shop[LATER] = counter, set()
    shop.on_shutdown.append(_finish)
    shop.add_routes(routes)
    return shop


def serve(shop: web.Application, listener: socket.socket) -> None:
    """Serve *shop* until SIGTERM."""
    web.run_app(shop, sock=listener, print=None, access_log=None, shutdown_timeout=3)


@web.middleware
async def declined(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a declined card."""
    try:
        return await handler(request)
    except CardDeclinedError as error:
        return web.json_response({"error": str(error)}, status=402)


def _page(request: web.Request, name: str, **values: Any) -> web.Response:
    counter = request.app[COUNTER]
    text = counter.page(name, request.cookies, **values)
    response = web.Response(text=text, content_type="text/html", headers=counter.headers)
    if (cookie := counter.new_cookie(request.cookies)) is not None:
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax")
    return response


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    """Show the shelf."""
    return _page(request, "home")


@routes.get("/product/{slug}")
async def product(request: web.Request) -> web.Response:
    """Show one thing of it."""
    slug = request.match_info["slug"]
    if slug not in PRODUCTS:
        raise web.HTTPNotFound(text="no such product")
    request.app[COUNTER].posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
    return _page(request, "product", product=PRODUCTS[slug])


@routes.get("/cart")
async def cart_page(request: web.Request) -> web.Response:
    """Show what the visitor has taken."""
    return _page(request, "cart")


@routes.post("/api/cart")
async def change_cart(request: web.Request) -> web.Response:
    """Take one thing."""
    counter, product = request.app[COUNTER], await _said(request, "product")
    if product not in PRODUCTS:
        raise web.HTTPNotFound(text="no such product")
    return web.json_response(counter.add(counter.cart(request.cookies), product))


@routes.post("/api/sign-in")
async def sign_in(request: web.Request) -> web.Response:
    """Know the visitor from now on."""
    counter = request.app[COUNTER]
    return web.json_response(counter.sign_in(counter.cart(request.cookies), await _said(request, "email")))


@routes.post("/api/gift-card")
async def gift_card(request: web.Request) -> web.Response:
    """Make it cheaper."""
    counter, code = request.app[COUNTER], await _said(request, "code")
    cart = counter.cart(request.cookies)
    counter.posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
    return web.json_response({"total": apply_gift_card(cart.total, code)})


@routes.post("/api/checkout")
async def checkout(request: web.Request) -> web.Response:
    """Take the money; the receipt goes out when the visitor has the answer."""
    counter, card = request.app[COUNTER], await _said(request, "card", "4242")
    cart = counter.cart(request.cookies)
    total, items = cart.total, cart.count
    counter.posthog.capture("checkout started", properties={"total": total, "items": items})
    if card == "offline":
        raise web.HTTPServiceUnavailable(text="the payment provider does not answer")
    receipt = charge(total, card)
    cart.items.clear()
    counter.posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
    later = request.app[LATER]
    task = asyncio.create_task(_send_receipt(counter, receipt))
    later.add(task)  # the loop holds tasks weakly
    task.add_done_callback(later.discard)
    return web.json_response({"receipt": receipt, "total": total})


@routes.get("/api/export")
async def export(request: web.Request) -> web.StreamResponse:
    """Stream the catalogue."""
    response = web.StreamResponse(headers={"Content-Type": "text/csv"})
    await response.prepare(request)
    for line in request.app[COUNTER].lines():
        await response.write(line.encode())
    await response.write_eof()
    return response


async def _said(request: web.Request, name: str, otherwise: str | None = None) -> str:
    """Return what the request's JSON says; a bad request where it says nothing."""
    try:
        said = (await request.json()).get(name, otherwise)
    except (ValueError, AttributeError) as error:
        raise web.HTTPBadRequest(text="JSON is needed") from error
    if not isinstance(said, str):
        raise web.HTTPBadRequest(text=f"{name} is needed")
    return said


async def _send_receipt(counter: Counter, receipt: str) -> None:
    await asyncio.sleep(0.05)
    counter.send_receipt(receipt)


async def _finish(shop: web.Application) -> None:
    await asyncio.gather(*shop[LATER])
