"""The shop: a FastAPI app as people write them, with the interceptor in one line. Run by the demo in a process of its own.

The pages are for a person to click through; what they do goes by fetch, so that the browser's tracing headers travel along.
Navigations carry no headers, but posthog-js's first-party cookie (`read_cookie`).
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, Body, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, select_autoescape

from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card, charge

__all__ = ["create_shop"]

_COOKIE = "moka_cart"
_MAX_CARTS = 10_000
_PAGES = Environment(loader=PackageLoader("hogline_instance.demo"), autoescape=select_autoescape(default=True))


@dataclass
class _Cart:
    items: dict[str, int] = field(default_factory=dict)
    user: str | None = None

    @property
    def total(self) -> float:
        return round(sum(PRODUCTS[slug].price * count for slug, count in self.items.items()), 2)

    @property
    def count(self) -> int:
        return sum(self.items.values())


class _Carts:
    """Carts by the visitor's cookie; the ones not used for longest are forgotten."""

    def __init__(self) -> None:
        self._carts: OrderedDict[str, _Cart] = OrderedDict()

    def of(self, request: Request) -> _Cart:
        key = request.cookies.get(_COOKIE, "")
        cart = self._carts.setdefault(key, _Cart()) if key else _Cart()
        if key:
            self._carts.move_to_end(key)
            if len(self._carts) > _MAX_CARTS:
                self._carts.popitem(last=False)
        return cart


def create_shop(posthog: PostHog, *, instance_url: str, has_posthog_js: bool) -> FastAPI:
    """Return the shop. *instance_url* is where browsers send their events; *has_posthog_js*: it serves the official script."""
    shop = FastAPI(title="Moka & Co", docs_url=None, redoc_url=None, openapi_url=None)
    shop.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True, read_cookie=True)
    shop.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    carts = _Carts()
    policy = (
        f"default-src 'self'; script-src 'self' {instance_url}; connect-src 'self' {instance_url}; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )

    def page(request: Request, name: str, **values: Any) -> Response:
        cart = carts.of(request)
        html = _PAGES.get_template(f"{name}.html").render(
            token=posthog.project_token, instance=instance_url, has_posthog_js=has_posthog_js, cart=cart, products=PRODUCTS, **values
        )  # fmt: skip
        response = HTMLResponse(html, headers={"Content-Security-Policy": policy})
        if _COOKIE not in request.cookies:
            response.set_cookie(_COOKIE, secrets.token_urlsafe(16), httponly=True, samesite="lax")
        return response

    @shop.exception_handler(CardDeclinedError)
    async def declined(_request: Request, error: CardDeclinedError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 402)

    @shop.get("/")
    def home(request: Request) -> Response:
        return page(request, "home")

    @shop.get("/product/{slug}")
    def product(request: Request, slug: str) -> Response:
        if slug not in PRODUCTS:
            raise HTTPException(404, "no such product")
        posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
        return page(request, "product", product=PRODUCTS[slug])

    @shop.get("/cart")
    def cart_page(request: Request) -> Response:
        return page(request, "cart")

    _add_actions(shop, posthog, carts)
    return shop


def _add_actions(shop: FastAPI, posthog: PostHog, carts: _Carts) -> None:
    """Add what the pages call."""

    @shop.post("/api/cart")
    async def change_cart(request: Request, product: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
        if product not in PRODUCTS:
            raise HTTPException(404, "no such product")
        cart = carts.of(request)
        cart.items[product] = cart.items.get(product, 0) + 1
        posthog.capture("cart changed", properties={"added": product, "items": cart.count, "total": cart.total})
        return {"items": cart.count, "total": cart.total}

    @shop.post("/api/sign-in")
    async def sign_in(request: Request, email: Annotated[str, Body(embed=True)]) -> dict[str, str]:
        carts.of(request).user = email
        posthog.set(distinct_id=email, properties={"email": email})
        posthog.capture("signed in", distinct_id=email, properties={"how": "email"})
        return {"user": email}

    @shop.post("/api/gift-card")
    def gift_card(request: Request, code: Annotated[str, Body(embed=True)]) -> dict[str, float]:
        cart = carts.of(request)
        posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
        return {"total": apply_gift_card(cart.total, code)}

    @shop.post("/api/checkout")
    async def checkout(
        request: Request, later: BackgroundTasks, card: Annotated[str, Body(embed=True)] = "4242"
    ) -> dict[str, Any]:
        cart = carts.of(request)
        total, items = cart.total, cart.count
        posthog.capture("checkout started", properties={"total": total, "items": items})
        if card == "offline":
            raise HTTPException(503, "the payment provider does not answer")
        receipt = charge(total, card)
        cart.items.clear()
        posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
        later.add_task(_send_receipt, posthog, receipt)
        return {"receipt": receipt, "total": total}

    @shop.get("/api/export")
    async def export() -> StreamingResponse:
        return StreamingResponse(_lines(posthog), media_type="text/csv")


async def _send_receipt(posthog: PostHog, receipt: str) -> None:
    await asyncio.sleep(0.05)
    posthog.capture("receipt sent", properties={"receipt": receipt})


async def _lines(posthog: PostHog) -> AsyncIterator[str]:
    yield "product,price\n"
    for product in PRODUCTS.values():
        yield f"{product.slug},{product.price}\n"
    posthog.capture("catalogue exported", properties={"lines": len(PRODUCTS)})
