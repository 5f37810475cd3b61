"""The shop on Quart, written as an ordinary app.

It does the same as `hogline_instance/demo/shop_fastapi.py`.
"""

import asyncio
from typing import Any

from quart import Quart, Response, abort, jsonify, request

from hogline.interceptors.quart import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card
from hogline_instance.demo.shop import COOKIE, STATIC, Shop

__all__ = ["create_app"]


def create_app(shop: Shop) -> Quart:
    """Return the shop as an app of this framework."""
    posthog = shop.posthog
    app = Quart("moka", static_folder=str(STATIC), static_url_path="/static")
    PostHogInterceptor(app, client=posthog, capture_exceptions=True, read_cookie=True)

    def page(name: str, **values: Any) -> Response:
        response = Response(shop.page(name, request.cookies, **values), headers=shop.headers, mimetype="text/html")
        if (cookie := shop.new_cookie(request.cookies)) is not None:
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax")
        return response

    @app.errorhandler(CardDeclinedError)
    async def declined(error: CardDeclinedError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 402

    @app.get("/")
    async def home() -> Response:
        return page("home")

    @app.get("/product/<slug>")
    async def product(slug: str) -> Response:
        if slug not in PRODUCTS:
            abort(404)
        posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
        return page("product", product=PRODUCTS[slug])

    @app.get("/cart")
    async def cart_page() -> Response:
        return page("cart")

    _add_actions(app, shop)
    return app


def _add_actions(app: Quart, shop: Shop) -> None:
    """Add the routes that the pages' scripts call."""
    posthog = shop.posthog

    @app.post("/api/cart")
    async def change_cart() -> dict[str, Any]:
        product = await _field("product")
        if product not in PRODUCTS:
            abort(404)
        return shop.add(shop.cart(request.cookies), product)

    @app.post("/api/sign-in")
    async def sign_in() -> dict[str, Any]:
        return {**shop.sign_in(shop.cart(request.cookies), await _field("email"))}

    @app.post("/api/gift-card")
    async def gift_card() -> dict[str, Any]:
        cart, code = shop.cart(request.cookies), await _field("code")
        posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
        return {"total": apply_gift_card(cart.total, code)}

    @app.post("/api/checkout")
    async def checkout() -> dict[str, Any]:
        cart, card = shop.cart(request.cookies), await _field("card", "4242")
        total, items = cart.total, cart.count
        posthog.capture("checkout started", properties={"total": total, "items": items})
        if card == "offline":
            abort(503)
        receipt = shop.pay(cart, total, card)
        cart.items.clear()
        posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
        app.add_background_task(_send_receipt, shop, receipt)
        return {"receipt": receipt, "total": total}

    @app.get("/api/export")
    async def export() -> Response:
        return Response(shop.lines(), mimetype="text/csv")


async def _field(name: str, default: str | None = None) -> str:
    """Return a string of the request's JSON; abort with 400 if it is missing."""
    value = (await request.get_json()).get(name, default)
    return value if isinstance(value, str) else abort(400)


async def _send_receipt(shop: Shop, receipt: str) -> None:
    await asyncio.sleep(0.05)
    shop.send_receipt(receipt)
