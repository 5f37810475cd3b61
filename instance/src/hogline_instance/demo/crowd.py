"""The visitors without a story: enough of them that numbers say something."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from hogline_instance.demo.browser import Browser, Window

__all__ = ["Crowd"]

_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"
_FACTS = (
    {"$browser": "Firefox", "$os": "Linux", "$device_type": "Desktop"},
    {"$browser": "Chrome", "$os": "Windows", "$device_type": "Desktop"},
    {"$browser": "Mobile Safari", "$os": "iOS", "$device_type": "Mobile"},
)
_PRODUCTS = ("espresso-beans", "filter-papers", "moka-pot")
_CUSTOMERS = ("mia@harbour.example", "noah@acme.example", "lena@acme.example", "omar@harbour.example")
_MOST = 60
_AT_ONCE = 4


class Crowd:
    """Makes one visitor after the other; every fourth signs in as a customer of an organisation."""

    def __init__(self, browser: Callable[..., Browser]) -> None:
        """Take the function that returns a visitor's browser."""
        self._browser = browser
        self._numbers = count(1)

    def hits_the_gift_card_bug(self, visitors: int) -> None:
        """Let *visitors* enter a gift card."""
        for _ in range(visitors):
            tab = self._arrives(next(self._numbers))
            tab.fetch("POST", "/api/gift-card", {"code": "birthday"})

    def pays(self, *, until_failed: int = 0, visitors: int = _MOST) -> tuple[int, int]:
        """Let visitors check out, until *until_failed* checkouts failed or all *visitors* came.

        Return how many came and how many checkouts failed.
        """
        came = failed = 0
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while came < visitors and (not until_failed or failed < until_failed):
                numbers = [next(self._numbers) for _ in range(min(_AT_ONCE, visitors - came))]
                statuses = list(pool.map(self._pays, numbers))
                came += len(statuses)
                failed += statuses.count(500)
        return came, failed

    def _pays(self, number: int) -> int:
        tab = self._arrives(number)
        if number % 4 == 0:
            email = _CUSTOMERS[number // 4 % len(_CUSTOMERS)]
            tab.fetch("POST", "/api/sign-in", {"email": email})
            tab.identify(email, {"email": email})
            tab.group("organisation", email.partition("@")[2])
        return tab.fetch("POST", "/api/checkout", {"card": "4242 4242 4242 4242"})

    def _arrives(self, number: int) -> Window:
        product = _PRODUCTS[number % len(_PRODUCTS)]
        browser = self._browser(
            name="", ip=f"198.51.100.{number % 200 + 30}", agent=_AGENT, facts=_FACTS[number % len(_FACTS)]
        )
        tab = browser.window()
        tab.open(f"/product/{product}")
        tab.fetch("POST", "/api/cart", {"product": product})
        return tab
