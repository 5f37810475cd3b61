"""The shop without a framework: carts, pages, work after a response, a streamed catalogue."""

import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from hogline import PostHog, get_context_distinct_id, set_context_groups, tag
from hogline_instance.demo.catalogue import PRODUCTS, charge, customer_name

__all__ = ["COOKIE", "STATIC", "Cart", "Shop"]

COOKIE = "moka_cart"
STATIC = Path(__file__).parent / "static"
_MAX_CARTS = 10_000
_FLAG = "new-checkout"
_PAGES = Environment(loader=PackageLoader("hogline_instance.demo"), autoescape=select_autoescape(default=True))


@dataclass
class Cart:
    """The products that one visitor wants to buy."""

    items: dict[str, int] = field(default_factory=dict)
    user: str | None = None
    visitor: str | None = None
    """The distinct id that the visitor's browser was last seen with."""
    checkout: str = "control"
    """The visitor's variant of the flag `new-checkout`."""

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
    """The shop's logic, independent of the framework that serves it.

    The client's release is the shop's. Release 1.0 has no new checkout.
    """

    def __init__(self, posthog: PostHog, *, instance_url: str, has_posthog_js: bool) -> None:
        self.posthog = posthog
        self._has_new_checkout = posthog.release != "1.0"
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
        """Set the variant of the visitor whom the request names; the browser asks for the same one.

        A navigation of an anonymous visitor names nobody: the cart knows who the last request named.
        """
        cart.visitor = get_context_distinct_id() or cart.visitor
        if cart.user is not None:
            set_context_groups({"organisation": cart.user.partition("@")[2]})
        if cart.visitor is None or not self._has_new_checkout:
            return
        variant = self.posthog.evaluate_flags(cart.visitor, flag_keys=[_FLAG]).get_flag(_FLAG)
        cart.checkout = str(variant) if variant else "control"
        tag(f"$feature/{_FLAG}", cart.checkout)  # so that an exception of this request says it, too

    def page(self, name: str, cookies: Mapping[str, str], **values: Any) -> str:
        """Return the page *name* as HTML."""
        return _PAGES.get_template(f"{name}.html").render(
            token=self.posthog.project_token, instance=self._instance_url, has_posthog_js=self._has_posthog_js,
            release=self.posthog.release, cart=self.cart(cookies), products=PRODUCTS, **values,
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
        """Store the visitor's email address in the cart, and the organisation that it belongs to."""
        cart.user = email
        organisation = email.partition("@")[2]
        set_context_groups({"organisation": organisation})
        self.posthog.set(distinct_id=email, properties={"email": email})
        self.posthog.group_identify("organisation", organisation, {"name": organisation.partition(".")[0].title()})
        self.posthog.capture("signed in", distinct_id=email, properties={"how": "email"})
        return {"user": email}

    def pay(self, cart: Cart, total: float, card: str) -> str:
        """Charge *card*, and return the receipt; the new checkout prints the customer's name on it."""
        receipt = charge(total, card)
        return f"{receipt} for {customer_name(cart.user or '')}" if cart.checkout == "test" else receipt

    def send_receipt(self, receipt: str) -> None:
        """Send the receipt, after the response."""
        self.posthog.capture("receipt sent", properties={"receipt": receipt})

    def lines(self) -> Iterator[str]:
        """Yield the catalogue line by line, for a streamed response."""
        yield "product,price\n"
        for product in PRODUCTS.values():
            yield f"{product.slug},{product.price}\n"
        self.posthog.capture("catalogue exported", properties={"lines": len(PRODUCTS)})
