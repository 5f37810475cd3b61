"""The visitors: each runs through a script of steps in the shop and reports them."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hogline_instance.demo.browser import Browser

__all__ = ["CHUNK_ID", "MINIFIED_FRAMES", "STORIES", "Story", "Tell"]

Tell = Callable[[str, str], None]
"""A function that is called with the visitor's name and a description of the step."""

CHUNK_ID = "6a76827d-3609-522f-807e-2262631e5ef6"
"""The id in `static/delivery.min.js`, by which its source map is found."""
MINIFIED_FRAMES = (("HTMLButtonElement.m", 317), ("e", 129), ("d", 159))
"""Functions and columns in its second line, as Chrome reports them; the crash site is the last."""
_CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
_ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36"
)
_FIREFOX = "Mozilla/5.0 (Macintosh; Intel Mac OS X 15.1; rv:132.0) Gecko/20100101 Firefox/132.0"


@dataclass(frozen=True, slots=True)
class Story:
    """One visit: the visitor, the browser and the steps."""

    name: str
    ip: str
    agent: str
    facts: dict[str, str]
    steps: Callable[[Browser], Iterator[str]]

    def browser(self, make: Callable[..., Browser]) -> Browser:
        """Return the visitor's machine; *make* knows the instance and the shop."""
        return make(name=self.name, ip=self.ip, agent=self.agent, facts=self.facts)

    def play(self, browser: Browser, tell: Tell, pause_s: float) -> None:
        """Run the steps, with about *pause_s* seconds between them."""
        for step in self.steps(browser):
            tell(self.name, step)
            if pause_s:
                time.sleep(pause_s * random.uniform(0.6, 1.4))


def _looks_around(browser: Browser) -> Iterator[str]:
    tab = browser.window()
    tab.open("/")
    yield "opens the shop"
    tab.click("Filter papers")
    tab.open("/product/filter-papers")
    for _ in range(3):
        tab.click("Add to cart")
        tab.fetch("POST", "/api/cart", {"product": "filter-papers"})
    yield "puts three packs of filter papers into the cart"
    tab.open("/cart")
    tab.click("When will it arrive?")
    script = f"{browser.shop_url}/static/delivery.min.js"
    frames = [
        {"filename": script, "function": name, "lineno": 2, "colno": column, "chunk_id": CHUNK_ID}
        for name, column in MINIFIED_FRAMES
    ]
    tab.fail("TypeError", "Cannot read properties of undefined (reading 'day')", frames)
    yield "asks when they arrive: the page's minified script breaks (TypeError)"
    tab.capture("$pageleave", {})
    yield "leaves without buying"


def _buys_in_two_windows(browser: Browser) -> Iterator[str]:
    first = browser.window()
    first.open("/")
    yield "opens the shop"
    first.click("Moka pot")
    first.open("/product/moka-pot")
    first.click("Add to cart")
    first.fetch("POST", "/api/cart", {"product": "moka-pot"})
    yield "puts a moka pot into the cart"
    second = browser.window()
    second.open("/product/hand-grinder")
    yield "looks at a grinder in a second window"
    second.click("Add to cart")
    second.fetch("POST", "/api/cart", {"product": "hand-grinder"})
    yield "takes it too"
    first.open("/cart")
    first.click("Sign in")
    first.fetch("POST", "/api/sign-in", {"email": "jane@example.com"})
    first.identify("jane@example.com", {"email": "jane@example.com", "name": "Jane"})
    first.group("organisation", "example.com")
    yield "signs in as jane@example.com"
    first.click("Use gift card")
    first.fetch("POST", "/api/gift-card", {"code": "birthday"})
    yield "enters a gift card: the shop breaks (KeyError, 500)"
    first.click("Pay")
    first.fetch("POST", "/api/checkout", {"card": "offline"})
    yield "pays: the payment provider is away (503)"
    first.click("Pay")
    first.fetch("POST", "/api/checkout", {"card": "4242 4242 4242 4242"})
    yield "pays again: order placed, receipt sent in the background"
    first.fetch("GET", "/api/export")
    yield "downloads the catalogue, streamed"


def _has_no_money(browser: Browser) -> Iterator[str]:
    tab = browser.window()
    tab.open("/product/espresso-beans")
    yield "arrives at the espresso beans"
    tab.click("Add to cart")
    tab.fetch("POST", "/api/cart", {"product": "espresso-beans"})
    tab.open("/cart")
    tab.click("Pay")
    tab.fetch("POST", "/api/checkout", {"card": "4242 0000"})
    yield "pays: card declined (the shop answers 402, so it is no error)"
    tab.capture("$rageclick", {"$el_text": "Pay"})
    yield "clicks a lot"


STORIES = (
    Story(
        "Ada", "198.51.100.23", _ANDROID,
        {"$browser": "Chrome", "$browser_version": "141", "$os": "Android", "$device_type": "Mobile", "$referrer": "$direct"},
        _looks_around,
    ),
    Story(
        "Jane", "203.0.113.77", _CHROME,
        {"$browser": "Chrome", "$browser_version": "141", "$os": "Linux", "$device_type": "Desktop", "$referrer": "https://news.example.org/item?id=4"},
        _buys_in_two_windows,
    ),
    Story(
        "Sam", "192.0.2.15", _FIREFOX,
        {"$browser": "Firefox", "$browser_version": "132", "$os": "Mac OS X", "$device_type": "Desktop", "$referrer": "https://search.example/"},
        _has_no_money,
    ),
)  # fmt: skip
