"""Mistakes of a small shop in Python. Each is sent by posthog-python, with its name as a property."""

import json
import os
import sys
from collections.abc import Callable

from posthog import Posthog

HOST, LABEL = sys.argv[1:]
client = Posthog("phc_recorded", host=HOST, capture_exception_code_variables=True)


class NoSkuError(Exception):
    """An item without a stock-keeping unit."""


class Cart:
    """A cart that cannot be paid."""

    def pay(self, order: int) -> int:
        """Raise from the cause."""
        try:
            return total_of([{"id": order}])
        except NoSkuError as error:
            raise RuntimeError(f"cart {order} cannot be paid") from error


def price_of(item: dict[str, int]) -> int:
    """Return the price of an item that has a stock-keeping unit."""
    if "sku" not in item:
        raise NoSkuError(f"item {item['id']} has no sku")
    return item["price"]


def total_of(items: list[dict[str, int]]) -> int:
    """Return the sum of the prices."""
    return sum(price_of(item) for item in items)


def in_context(order: int) -> None:
    """Raise while another exception is handled."""
    try:
        total_of([{"id": order}])
    except NoSkuError:
        {}[f"order-{order}"]  # type: ignore[misc]


def in_group(order: int) -> None:
    """Raise two exceptions at once."""
    raise ExceptionGroup("two failures", [ValueError(f"no order {order}"), KeyError("card")])


MISTAKES: dict[str, Callable[[int], object]] = {
    "captured": lambda order: total_of([{"id": order}]),
    "cause": lambda order: Cart().pay(order),
    "context": in_context,
    "group": in_group,
    "library": lambda order: json.loads(f'{{"order": {order}'),
}

for name, mistake in MISTAKES.items():
    try:
        mistake(os.getpid())
    except Exception as error:
        client.capture_exception(error, distinct_id="visitor", properties={"recorded": name + LABEL})
client.capture_exception(
    ValueError(f"order {os.getpid()} was never raised"),
    distinct_id="visitor",
    properties={"recorded": "unraised" + LABEL},
)
client.shutdown()
