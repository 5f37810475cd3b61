"""The shop on Quart: the same as `shop_fastapi`, as people write it there."""

import asyncio
from typing import Any

from quart import Quart, Response, abort, jsonify, request

from hogline.interceptors.quart import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card, charge
from hogline_instance.demo.counter import COOKIE, STATIC, Counter

__all__ = ["create_shop"]


def create_shop(counter: Counter) -> Quart:
    """Return the shop in front of *counter*."""
    posthog = counter.posthog
    shop = Quart("moka", static_folder=str(STATIC), static_url_path="/static")
    PostHogInterceptor(shop, client=posthog, capture_exceptions=True, read_cookie=True)

    def page(name: str, **values: Any) -> Response:
        response = Response(
            counter.page(name, request.cookies, **values), headers=counter.headers, mimetype="text/html"
        )
        if (cookie := counter.new_cookie(request.cookies)) is not None:
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax")
        return response

    @shop.errorhandler(CardDeclinedError)
    async def declined(error: CardDeclinedError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 402

    @shop.get("/")
    async def home() -> Response:
        return page("home")

    @shop.get("/product/<slug>")
    async def product(slug: str) -> Response:
        if slug not in PRODUCTS:
            abort(404)
        posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
        return page("product", product=PRODUCTS[slug])

    @shop.get("/cart")
    async def cart_page() -> Response:
        return page("cart")

    _add_actions(shop, counter)
    return shop


def _add_actions(shop: Quart, counter: Counter) -> None:
    """Add what the pages call."""
    posthog = counter.posthog

    @shop.post("/api/cart")
    async def change_cart() -> dict[str, Any]:
        product = await _said("product")
        if product not in PRODUCTS:
            abort(404)
        return counter.add(counter.cart(request.cookies), product)

    @shop.post("/api/sign-in")
    async def sign_in() -> dict[str, Any]:
        return {**counter.sign_in(counter.cart(request.cookies), await _said("email"))}

    @shop.post("/api/gift-card")
    async def gift_card() -> dict[str, Any]:
        cart, code = counter.cart(request.cookies), await _said("code")
        posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
        return {"total": apply_gift_card(cart.total, code)}

    @shop.post("/api/checkout")
    async def checkout() -> dict[str, Any]:
        cart, card = counter.cart(request.cookies), await _said("card", "4242")
        total, items = cart.total, cart.count
        posthog.capture("checkout started", properties={"total": total, "items": items})
        if card == "offline":
            abort(503)
        receipt = charge(total, card)
        cart.items.clear()
        posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
        shop.add_background_task(_send_receipt, counter, receipt)
        return {"receipt": receipt, "total": total}

    @shop.get("/api/export")
    async def export() -> Response:
        return Response(counter.lines(), mimetype="text/csv")


async def _said(name: str, otherwise: str | None = None) -> str:
    """Return what the request's JSON says; a bad request where it says nothing."""
    said = (await request.get_json()).get(name, otherwise)
    return said if isinstance(said, str) else abort(400)


async def _send_receipt(counter: Counter, receipt: str) -> None:
    await asyncio.sleep(0.05)
    counter.send_receipt(receipt)
