"""A real Chromium for tests of pages and of posthog-js."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.tools import require

_OPTIONS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ASKS_LOOPBACK = "--disable-features=LocalNetworkAccessChecks"
"""The option for a page that a test makes up.

It counts as one of the internet, which may not ask the loopback address.
"""


@contextmanager
def launch_browser(*options: str) -> Iterator[object]:
    """A Chromium, as playwright's browser; skips the test without one."""
    executable = require("browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*_OPTIONS, *options])
        yield browser
        browser.close()


@contextmanager
def open_browser(*options: str) -> Iterator[object]:
    """A fresh profile of a Chromium, as playwright's context; skips the test without a Chromium.

    Its list `trouble` receives every error of the console and every answer of 400 or more.
    """
    with launch_browser(*options) as browser:
        context = browser.new_context()
        context.trouble = trouble = []
        context.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        context.on(
            "response", lambda answer: trouble.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        )
        yield context
