"""The shop without a framework: carts, pages, work after a response, a streamed catalogue."""

import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from hogline import PostHog
from hogline_instance.demo.catalogue import PRODUCTS

__all__ = ["COOKIE", "STATIC", "Cart", "Shop"]

COOKIE = "moka_cart"
STATIC = Path(__file__).parent / "static"
_MAX_CARTS = 10_000
_PAGES = Environment(loader=PackageLoader("hogline_instance.demo"), autoescape=select_autoescape(default=True))


@dataclass
class Cart:
    """The products that one visitor wants to buy."""

    items: dict[str, int] = field(default_factory=dict)
    user: str | None = None
    checkout: str = "control"
    """The variant of the flag `new-checkout` that the visitor was last seen with."""

    @property
    def total(self) -> float:
        """Return the total price in euros; the new checkout takes five percent off."""
        total = sum(PRODUCTS[slug].price * count for slug, count in self.items.items())
        return round(total * (0.95 if self.checkout == "test" else 1), 2)

    @property
    def count(self) -> int:
        """Return the number of items in it."""
        return sum(self.items.values())


class Shop:
    """The shop's logic, independent of the framework that serves it."""

    def __init__(self, posthog: PostHog, *, instance_url: str, has_posthog_js: bool) -> None:
        self.posthog = posthog
        self._instance_url = instance_url
        self._has_posthog_js = has_posthog_js
        # Carts by cookie value; the least recently used one is evicted first.
        self._carts: OrderedDict[str, Cart] = OrderedDict()
        self.headers = {
            "Content-Security-Policy": f"default-src 'self'; script-src 'self' {instance_url}; connect-src 'self' {instance_url}; "
            "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        }

    def cart(self, cookies: Mapping[str, str]) -> Cart:
        """Return the cart that *cookies* name, or an empty one."""
        key = cookies.get(COOKIE, "")
        if not key:
            return Cart()
        cart = self._carts.setdefault(key, Cart())
        self._carts.move_to_end(key)
        self._decide(cart)
        if len(self._carts) > _MAX_CARTS:
            self._carts.popitem(last=False)
        return cart

    def _decide(self, cart: Cart) -> None:
        """Ask for the flag of the visitor whom the request names; the browser asks for the same one.

        A navigation of an anonymous visitor names nobody, so the cart keeps the last answer.
        """
        variant = self.posthog.evaluate_flags(flag_keys=["new-checkout"]).get_flag("new-checkout")
        if variant is not None:
            cart.checkout = str(variant)

    def page(self, name: str, cookies: Mapping[str, str], **values: Any) -> str:
        """Return the page *name* as HTML."""
        return _PAGES.get_template(f"{name}.html").render(
            token=self.posthog.project_token, instance=self._instance_url, has_posthog_js=self._has_posthog_js,
            cart=self.cart(cookies), products=PRODUCTS, **values,
        )  # fmt: skip

    def new_cookie(self, cookies: Mapping[str, str]) -> str | None:
        """Return the value of the cookie to set, or None for a visitor who has one."""
        return None if COOKIE in cookies else secrets.token_urlsafe(16)

    def add(self, cart: Cart, product: str) -> dict[str, Any]:
        """Put one of *product*, which exists, into *cart*."""
        cart.items[product] = cart.items.get(product, 0) + 1
        self.posthog.capture("cart changed", properties={"added": product, "items": cart.count, "total": cart.total})
        return {"items": cart.count, "total": cart.total}

    def sign_in(self, cart: Cart, email: str) -> dict[str, str]:
        """Store the visitor's email address in the cart."""
        cart.user = email
        self.posthog.set(distinct_id=email, properties={"email": email})
        self.posthog.capture("signed in", distinct_id=email, properties={"how": "email"})
        return {"user": email}

    def send_receipt(self, receipt: str) -> None:
        """Send the receipt, after the response."""
        self.posthog.capture("receipt sent", properties={"receipt": receipt})

    def lines(self) -> Iterator[str]:
        """Yield the catalogue line by line, for a streamed response."""
        yield "product,price\n"
        for product in PRODUCTS.values():
            yield f"{product.slug},{product.price}\n"
        self.posthog.capture("catalogue exported", properties={"lines": len(PRODUCTS)})
