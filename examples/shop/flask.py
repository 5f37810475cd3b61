"""The shop on Flask, written as an ordinary app.

It does the same as `hogline_instance/demo/shop_fastapi.py`. It runs on Werkzeug's server.
"""

import logging
import signal
import socket
import threading
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from werkzeug.serving import make_server

from hogline.interceptors.flask import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card
from hogline_instance.demo.shop import COOKIE, STATIC, Shop

__all__ = ["create_app", "serve"]


def create_app(shop: Shop) -> Flask:
    """Return the shop as an app of this framework."""
    posthog = shop.posthog
    app = Flask("moka", static_folder=str(STATIC), static_url_path="/static")
    PostHogInterceptor(app, client=posthog, capture_exceptions=True, read_cookie=True)

    def page(name: str, **values: Any) -> Response:
        response = Response(shop.page(name, request.cookies, **values), headers=shop.headers, mimetype="text/html")
        if (cookie := shop.new_cookie(request.cookies)) is not None:
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax")
        return response

    @app.errorhandler(CardDeclinedError)
    def declined(error: CardDeclinedError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 402

    @app.get("/")
    def home() -> Response:
        return page("home")

    @app.get("/product/<slug>")
    def product(slug: str) -> Response:
        if slug not in PRODUCTS:
            abort(404)
        posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
        return page("product", product=PRODUCTS[slug])

    @app.get("/cart")
    def cart_page() -> Response:
        return page("cart")

    _add_actions(app, shop)
    return app


def serve(app: Flask, listener: socket.socket) -> None:
    """Serve *app* until SIGTERM."""
    # Werkzeug logs every request unless its logger has its own level.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True, fd=listener.fileno())
    # On a thread, since `shutdown` waits for the loop that this handler interrupts.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    server.serve_forever(poll_interval=0.1)


def _add_actions(app: Flask, shop: Shop) -> None:
    """Add the routes that the pages' scripts call."""
    posthog = shop.posthog

    @app.post("/api/cart")
    def change_cart() -> dict[str, Any]:
        product = _field("product")
        if product not in PRODUCTS:
            abort(404)
        return shop.add(shop.cart(request.cookies), product)

    @app.post("/api/sign-in")
    def sign_in() -> dict[str, Any]:
        return {**shop.sign_in(shop.cart(request.cookies), _field("email"))}

    @app.post("/api/gift-card")
    def gift_card() -> dict[str, Any]:
        cart, code = shop.cart(request.cookies), _field("code")
        posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
        return {"total": apply_gift_card(cart.total, code)}

    @app.post("/api/checkout")
    def checkout() -> Response:
        cart, card = shop.cart(request.cookies), _field("card", "4242")
        total, items = cart.total, cart.count
        posthog.capture("checkout started", properties={"total": total, "items": items})
        if card == "offline":
            abort(503)
        receipt = shop.pay(cart, total, card)
        cart.items.clear()
        posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
        response = jsonify(receipt=receipt, total=total)
        response.call_on_close(lambda: shop.send_receipt(receipt))
        return response

    @app.get("/api/export")
    def export() -> Response:
        return Response(shop.lines(), mimetype="text/csv")


def _field(name: str, default: str | None = None) -> str:
    """Return a string of the request's JSON; abort with 400 if it is missing."""
    value = request.get_json().get(name, default)
    return value if isinstance(value, str) else abort(400)
