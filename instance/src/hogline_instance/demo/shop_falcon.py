"""The shop on Falcon, its ASGI side: the same as `shop_fastapi`, as people write it there: a resource for each route."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import falcon
from falcon.asgi import App, Request, Response

from hogline.interceptors.falcon import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card, charge
from hogline_instance.demo.counter import COOKIE, STATIC, Counter

__all__ = ["create_shop"]


def create_shop(counter: Counter) -> App[Request, Response]:
    """Return the shop in front of *counter*."""
    shop = App()
    PostHogInterceptor(shop, client=counter.posthog, capture_exceptions=True, read_cookie=True)
    shop.add_error_handler(CardDeclinedError, declined)
    shop.add_static_route("/static", STATIC)
    shop.add_route("/", Home(counter))
    shop.add_route("/product/{slug}", ProductPage(counter))
    shop.add_route("/cart", CartPage(counter))
    shop.add_route("/api/cart", ChangeCart(counter))
    shop.add_route("/api/sign-in", SignIn(counter))
    shop.add_route("/api/gift-card", GiftCard(counter))
    shop.add_route("/api/checkout", Checkout(counter))
    shop.add_route("/api/export", Export(counter))
    return shop


async def declined(_request: Request, response: Response, error: CardDeclinedError, _params: dict[str, Any]) -> None:
    """Answer a declined card."""
    response.status, response.media = falcon.HTTP_402, {"error": str(error)}


class _Resource:
    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._posthog = counter.posthog

    def _show(self, request: Request, response: Response, name: str, **values: Any) -> None:
        response.content_type = falcon.MEDIA_HTML
        response.set_headers(self._counter.headers)
        response.text = self._counter.page(name, request.cookies, **values)
        if (cookie := self._counter.new_cookie(request.cookies)) is not None:
            response.set_cookie(COOKIE, cookie, http_only=True, same_site="Lax", secure=False)


class Home(_Resource):
    """The shelf."""

    async def on_get(self, request: Request, response: Response) -> None:
        """Show it."""
        self._show(request, response, "home")


class ProductPage(_Resource):
    """One thing of it."""

    async def on_get(self, request: Request, response: Response, slug: str) -> None:
        """Show it."""
        if slug not in PRODUCTS:
            raise falcon.HTTPNotFound(description="no such product")
        self._posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
        self._show(request, response, "product", product=PRODUCTS[slug])


class CartPage(_Resource):
    """What the visitor has taken."""

    async def on_get(self, request: Request, response: Response) -> None:
        """Show it."""
        self._show(request, response, "cart")


class ChangeCart(_Resource):
    """The cart, for the page's script."""

    async def on_post(self, request: Request, response: Response) -> None:
        """Take one thing."""
        product = await _said(request, "product")
        if product not in PRODUCTS:
            raise falcon.HTTPNotFound(description="no such product")
        response.media = self._counter.add(self._counter.cart(request.cookies), product)


class SignIn(_Resource):
    """Who the visitor is."""

    async def on_post(self, request: Request, response: Response) -> None:
        """Know them from now on."""
        response.media = self._counter.sign_in(self._counter.cart(request.cookies), await _said(request, "email"))


class GiftCard(_Resource):
    """What makes it cheaper, or should."""

    async def on_post(self, request: Request, response: Response) -> None:
        """Apply it."""
        cart, code = self._counter.cart(request.cookies), await _said(request, "code")
        self._posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
        response.media = {"total": apply_gift_card(cart.total, code)}


class Checkout(_Resource):
    """The till."""

    async def on_post(self, request: Request, response: Response) -> None:
        """Take the money; the receipt goes out when the visitor has the answer."""
        cart, card = self._counter.cart(request.cookies), await _said(request, "card", "4242")
        total, items = cart.total, cart.count
        self._posthog.capture("checkout started", properties={"total": total, "items": items})
        if card == "offline":
            raise falcon.HTTPServiceUnavailable(description="the payment provider does not answer")
        receipt = charge(total, card)
        cart.items.clear()
        self._posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
        response.schedule(partial(_send_receipt, self._counter, receipt))
        response.media = {"receipt": receipt, "total": total}


class Export(_Resource):
    """The catalogue, streamed."""

    async def on_get(self, _request: Request, response: Response) -> None:
        """Send it line by line."""
        response.content_type = "text/csv"
        response.stream = self._lines()

    async def _lines(self) -> AsyncIterator[bytes]:
        for line in self._counter.lines():
            yield line.encode()


async def _said(request: Request, name: str, otherwise: str | None = None) -> str:
    """Return what the request's JSON says; a bad request where it says nothing."""
    media = await request.get_media()
    said = media.get(name, otherwise) if isinstance(media, dict) else None
    if not isinstance(said, str):
        raise falcon.HTTPBadRequest(description=f"{name} is needed")
    return said


async def _send_receipt(counter: Counter, receipt: str) -> None:
    await asyncio.sleep(0.05)
    counter.send_receipt(receipt)
