"""The shop on Falcon's ASGI app, written as an ordinary app.

It does the same as `hogline_instance/demo/shop_fastapi.py`, with a resource for each route.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import falcon
from falcon.asgi import App, Request, Response

from hogline.interceptors.falcon import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card
from hogline_instance.demo.shop import COOKIE, STATIC, Shop

__all__ = ["create_app"]


def create_app(shop: Shop) -> App[Request, Response]:
    """Return the shop as an app of this framework."""
    app = App()
    PostHogInterceptor(app, client=shop.posthog, capture_exceptions=True, read_cookie=True)
    app.add_error_handler(CardDeclinedError, declined)
    app.add_static_route("/static", STATIC)
    app.add_route("/", Home(shop))
    app.add_route("/product/{slug}", ProductPage(shop))
    app.add_route("/cart", CartPage(shop))
    app.add_route("/api/cart", ChangeCart(shop))
    app.add_route("/api/sign-in", SignIn(shop))
    app.add_route("/api/gift-card", GiftCard(shop))
    app.add_route("/api/checkout", Checkout(shop))
    app.add_route("/api/export", Export(shop))
    return app


async def declined(_request: Request, response: Response, error: CardDeclinedError, _params: dict[str, Any]) -> None:
    """Respond to a declined card with 402."""
    response.status, response.media = falcon.HTTP_402, {"error": str(error)}


class _Resource:
    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._posthog = shop.posthog

    def _show(self, request: Request, response: Response, name: str, **values: Any) -> None:
        response.content_type = falcon.MEDIA_HTML
        response.set_headers(self._shop.headers)
        response.text = self._shop.page(name, request.cookies, **values)
        if (cookie := self._shop.new_cookie(request.cookies)) is not None:
            response.set_cookie(COOKIE, cookie, http_only=True, same_site="Lax", secure=False)


class Home(_Resource):
    """The page of all products."""

    async def on_get(self, request: Request, response: Response) -> None:
        """Respond with the page."""
        self._show(request, response, "home")


class ProductPage(_Resource):
    """The page of one product."""

    async def on_get(self, request: Request, response: Response, slug: str) -> None:
        """Respond with the page."""
        if slug not in PRODUCTS:
            raise falcon.HTTPNotFound(description="no such product")
        self._posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
        self._show(request, response, "product", product=PRODUCTS[slug])


class CartPage(_Resource):
    """The cart's page."""

    async def on_get(self, request: Request, response: Response) -> None:
        """Respond with the page."""
        self._show(request, response, "cart")


class ChangeCart(_Resource):
    """The cart, for the page's script."""

    async def on_post(self, request: Request, response: Response) -> None:
        """Put a product into the cart."""
        product = await _field(request, "product")
        if product not in PRODUCTS:
            raise falcon.HTTPNotFound(description="no such product")
        response.media = self._shop.add(self._shop.cart(request.cookies), product)


class SignIn(_Resource):
    """The body of a sign-in."""

    async def on_post(self, request: Request, response: Response) -> None:
        """Sign the visitor in."""
        response.media = self._shop.sign_in(self._shop.cart(request.cookies), await _field(request, "email"))


class GiftCard(_Resource):
    """Apply a gift card."""

    async def on_post(self, request: Request, response: Response) -> None:
        """Apply the gift card."""
        cart, code = self._shop.cart(request.cookies), await _field(request, "code")
        self._posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
        response.media = {"total": apply_gift_card(cart.total, code)}


class Checkout(_Resource):
    """The checkout."""

    async def on_post(self, request: Request, response: Response) -> None:
        """Charge the card; the receipt is sent after the response."""
        cart, card = self._shop.cart(request.cookies), await _field(request, "card", "4242")
        total, items = cart.total, cart.count
        self._posthog.capture("checkout started", properties={"total": total, "items": items})
        if card == "offline":
            raise falcon.HTTPServiceUnavailable(description="the payment provider does not respond")
        receipt = self._shop.pay(cart, total, card)
        cart.items.clear()
        self._posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
        response.schedule(partial(_send_receipt, self._shop, receipt))
        response.media = {"receipt": receipt, "total": total}


class Export(_Resource):
    """The streamed catalogue."""

    async def on_get(self, _request: Request, response: Response) -> None:
        """Send the catalogue line by line."""
        response.content_type = "text/csv"
        response.stream = self._lines()

    async def _lines(self) -> AsyncIterator[bytes]:
        for line in self._shop.lines():
            yield line.encode()


async def _field(request: Request, name: str, default: str | None = None) -> str:
    """Return a string of the request's JSON; abort with 400 if it is missing."""
    media = await request.get_media()
    value = media.get(name, default) if isinstance(media, dict) else None
    if not isinstance(value, str):
        raise falcon.HTTPBadRequest(description=f"{name} is needed")
    return value


async def _send_receipt(shop: Shop, receipt: str) -> None:
    await asyncio.sleep(0.05)
    shop.send_receipt(receipt)
