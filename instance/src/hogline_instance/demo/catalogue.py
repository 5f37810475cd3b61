"""The shop's products, and its faults: a declined card, and two bugs that the demo shows."""

from dataclasses import dataclass

__all__ = ["PRODUCTS", "CardDeclinedError", "Product", "apply_gift_card", "charge", "customer_name"]


@dataclass(frozen=True, slots=True)
class Product:
    """A product."""

    slug: str
    name: str
    price: float
    text: str


PRODUCTS = {
    product.slug: product
    for product in (
        Product("moka-pot", "Moka pot", 39.9, "Six cups, aluminium, older than its owner looks."),
        Product("hand-grinder", "Hand grinder", 119.0, "Thirty turns a cup. Counts as exercise."),
        Product("filter-papers", "Filter papers", 6.5, "A hundred of them, one of which will stick."),
        Product("espresso-beans", "Espresso beans", 14.2, "Roasted on Tuesday, gone by Friday."),
    )
}
_GIFT_CARDS: dict[str, dict[str, float]] = {"SPRING": {"percent": 10}, "BIRTHDAY": {"amount": 15.0}}


class CardDeclinedError(Exception):
    """The payment provider declined the card; the shop responds 402."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"card declined: {reason}")
        self.reason = reason


def charge(total: float, card: str) -> str:
    """Pretend to charge *card*, and return a receipt number.

    Raises CardDeclinedError: the number ends in 0000.
    """
    if card.endswith("0000"):
        raise CardDeclinedError("insufficient funds")
    return f"R{int(total * 100):06d}"


def apply_gift_card(total: float, code: str) -> float:
    """Return *total* minus the gift card's discount.

    This holds the bug that the demo shows: not every card has a percentage.
    """
    card = _GIFT_CARDS[code.upper()]
    discount = total * card["percent"] / 100
    return round(total - discount, 2)


def customer_name(email: str) -> str:
    """Return the name that the new checkout prints on the receipt.

    This holds a bug that the demo shows: a visitor who has not signed in has no email address.
    """
    name, _domain = email.split("@")
    return name
