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
    # A page that a test makes up counts as one of the internet, which may not ask the loopback address.
    "--disable-features=LocalNetworkAccessChecks",
]


@contextmanager
def open_browser() -> Iterator[object]:
    """A fresh profile of a Chromium, as playwright's context; skips the test without a Chromium.

    Its list `trouble` receives every error of the console and every answer of 400 or more.
    """
    executable = require("browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_OPTIONS)
        context = browser.new_context()
        context.trouble = trouble = []
        context.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        context.on(
            "response", lambda answer: trouble.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        )
        yield context
        browser.close()
