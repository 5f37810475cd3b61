"""The shop on Litestar, written as an ordinary app.

It does the same as `hogline_instance/demo/shop_fastapi.py`, with typed bodies and an injected cart.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import Cookie
from litestar.di import Provide
from litestar.exceptions import NotFoundException, ServiceUnavailableException
from litestar.response import Stream
from litestar.static_files import create_static_files_router

from hogline.interceptors.litestar import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card
from hogline_instance.demo.shop import COOKIE, STATIC, Cart, Shop

__all__ = ["create_app"]


@dataclass
class Wish:
    """The body of a change of the cart."""

    product: str


@dataclass
class SignIn:
    """The body of a sign-in."""

    email: str


@dataclass
class GiftCard:
    """The body of a gift card."""

    code: str


@dataclass
class Payment:
    """The body of a checkout."""

    card: str = "4242"


def create_app(shop: Shop) -> Litestar:
    """Return the shop as an app of this framework."""

    async def provide_shop() -> Shop:
        return shop

    return Litestar(
        [
            home,
            product,
            cart_page,
            change_cart,
            sign_in,
            gift_card,
            checkout,
            export,
            create_static_files_router("/static", directories=[STATIC]),
        ],
        dependencies={"shop": Provide(provide_shop), "cart": Provide(provide_cart)},
        exception_handlers={CardDeclinedError: declined},
        logging_config=None,
        openapi_config=None,
        plugins=[PostHogInterceptor(client=shop.posthog, capture_exceptions=True, read_cookie=True)],
    )


async def provide_cart(request: Request[Any, Any, Any], shop: Shop) -> Cart:
    """Return the visitor's cart."""
    return shop.cart(request.cookies)


def declined(_request: Request[Any, Any, Any], error: CardDeclinedError) -> Response[dict[str, str]]:
    """Respond to a declined card with 402."""
    return Response({"error": str(error)}, status_code=402)


def _page(shop: Shop, request: Request[Any, Any, Any], name: str, **values: Any) -> Response[str]:
    cookie = shop.new_cookie(request.cookies)
    return Response(
        shop.page(name, request.cookies, **values),
        media_type=MediaType.HTML,
        headers=shop.headers,
        cookies=[Cookie(COOKIE, value=cookie, httponly=True, samesite="lax")] if cookie is not None else [],
    )


@get("/", sync_to_thread=True)
def home(request: Request[Any, Any, Any], shop: Shop) -> Response[str]:
    """Show the products."""
    return _page(shop, request, "home")


@get("/product/{slug:str}", sync_to_thread=True)
def product(request: Request[Any, Any, Any], shop: Shop, slug: str) -> Response[str]:
    """Show one product."""
    if slug not in PRODUCTS:
        raise NotFoundException("no such product")
    shop.posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
    return _page(shop, request, "product", product=PRODUCTS[slug])


@get("/cart", sync_to_thread=True)
def cart_page(request: Request[Any, Any, Any], shop: Shop) -> Response[str]:
    """Show the cart."""
    return _page(shop, request, "cart")


@post("/api/cart", status_code=200)
async def change_cart(shop: Shop, cart: Cart, data: Wish) -> dict[str, Any]:
    """Put a product into the cart."""
    if data.product not in PRODUCTS:
        raise NotFoundException("no such product")
    return shop.add(cart, data.product)


@post("/api/sign-in", status_code=200)
async def sign_in(shop: Shop, cart: Cart, data: SignIn) -> dict[str, str]:
    """Sign the visitor in."""
    return shop.sign_in(cart, data.email)


@post("/api/gift-card", status_code=200, sync_to_thread=True)
def gift_card(shop: Shop, cart: Cart, data: GiftCard) -> dict[str, float]:
    """Apply a gift card."""
    shop.posthog.capture("gift card entered", properties={"code": data.code, "total": cart.total})
    return {"total": apply_gift_card(cart.total, data.code)}


@post("/api/checkout", status_code=200)
async def checkout(shop: Shop, cart: Cart, data: Payment) -> Response[dict[str, Any]]:
    """Charge the card; the receipt is sent after the response."""
    total, items = cart.total, cart.count
    shop.posthog.capture("checkout started", properties={"total": total, "items": items})
    if data.card == "offline":
        raise ServiceUnavailableException("the payment provider does not respond")
    receipt = shop.pay(cart, total, data.card)
    cart.items.clear()
    shop.posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
    return Response({"receipt": receipt, "total": total}, background=BackgroundTask(_send_receipt, shop, receipt))


@get("/api/export")
async def export(shop: Shop) -> Stream:
    """Stream the catalogue."""
    return Stream(shop.lines(), media_type="text/csv")


async def _send_receipt(shop: Shop, receipt: str) -> None:
    await asyncio.sleep(0.05)
    shop.send_receipt(receipt)
