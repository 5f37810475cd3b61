"""Time that an interceptor adds to a request, against the same app without it. Both are called
in process.
"""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import posthog as official
import sentry_sdk
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from posthog.integrations.asgi import PosthogASGIMiddleware
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.transport import Transport

import hogline
from benchmarks.figures import Figure, print_figures
from benchmarks.sinks import NOWHERE
from hogline.interceptors.asgi import PostHogInterceptor

COUNT, ROUNDS = 5000, 9
PROPERTIES = {"total": 42, "currency": "EUR"}
VISITORS, PAGES = 200, 50  # visitors that are active at one time, and pages that they request


def headers(visitor: int) -> list[tuple[bytes, bytes]]:
    agent = f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{100 + visitor % 40}.0.0.0 Safari/537.36"
    ids = (
        (b"x-posthog-session-id", f"0192f0c0-0000-7000-8000-{visitor:012x}".encode()), (b"x-posthog-distinct-id", f"visitor-{visitor}".encode()),
        (b"x-posthog-window-id", f"0192f0c0-0000-7001-8000-{visitor:012x}".encode()),
    )  # fmt: skip
    return [
        (b"host", b"shop.example"), (b"user-agent", agent.encode()), (b"accept", b"*/*"), (b"accept-language", b"en"),
        (b"accept-encoding", b"gzip, br"), (b"connection", b"keep-alive"),
        (b"x-forwarded-for", f"198.51.{visitor // 256 % 256}.{visitor % 256}".encode()), *ids, (b"cookie", b"a=b"), (b"referer", b"https://shop.example/"),
    ]  # fmt: skip


def requests(visitors: int, pages: int) -> Iterator[tuple[list[tuple[bytes, bytes]], str, bytes]]:
    """Yield headers, path and query of request after request, each visitor in turn, in new bytes
    as a server makes them.
    """
    numbers = itertools.count()
    return (
        (headers(number % visitors), f"/products/{number % pages}", f"step={number % pages}".encode())
        for number in numbers
    )


logging.disable()
ours = hogline.PostHog(
    "phc_x", host=NOWHERE, max_queue_size=10**9, max_queue_bytes=10**12, flush_at=10**8, flush_interval=10_000.0
)
theirs = official.Posthog("phc_x", host=NOWHERE, max_queue_size=10**9, flush_at=10**8, flush_interval=10_000.0)


class Nowhere(Transport):
    def capture_envelope(self, envelope: Any) -> None:
        """Discard the envelope."""


sentry_sdk.init(dsn="http://x@127.0.0.1/1", transport=Nowhere, traces_sample_rate=0.0, default_integrations=False)


def scope(coming: Iterator[tuple[list[tuple[bytes, bytes]], str, bytes]]) -> dict[str, Any]:
    headers, path, query = next(coming)
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "root_path": "", "query_string": query, "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80),
        "scheme": "http", "headers": headers,
    }  # fmt: skip


def app_with(work: Callable[[], object] | None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if work is not None:
            work()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


async def _discard(message: Any) -> None:
    """Receive what the app sends, as the server does."""


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def paired_us(bare: Any, wrapped: Any, visitors: int = VISITORS, pages: int = PAGES) -> float:
    """Return the time that *wrapped* takes more than *bare*. The rounds alternate, and the best
    of each counts.
    """
    coming = requests(visitors, pages)

    async def run(app: Any) -> float:
        begun = time.perf_counter()
        for _ in range(COUNT):
            await app(scope(coming), _receive, _discard)
        return time.perf_counter() - begun

    async def both() -> float:
        best = [float("inf"), float("inf")]
        for _ in range(ROUNDS):
            best = [min(best[0], await run(bare)), min(best[1], await run(wrapped))]
        return (best[1] - best[0]) / COUNT * 1e6

    return asyncio.run(both())


def main() -> None:
    empty = app_with(None)
    official_empty = paired_us(empty, PosthogASGIMiddleware(empty, client=theirs))
    sentry_empty = paired_us(empty, SentryAsgiMiddleware(empty))
    otel = paired_us(empty, OpenTelemetryMiddleware(empty, tracer_provider=TracerProvider()))
    nothing = Figure(
        "interceptor, ASGI, nothing captured",
        paired_us(empty, PostHogInterceptor(empty, client=ours)),
        "us/request",
        1.5,
        (("posthog-python's ASGI middleware", official_empty), ("Sentry's ASGI middleware", sentry_empty), ("OpenTelemetry's ASGI middleware", otel)),
    )  # fmt: skip
    watching = Figure(
        "the same with capture_exceptions=True",
        paired_us(empty, PostHogInterceptor(empty, client=ours, capture_exceptions=True)),
        "us/request",
    )
    mine = PostHogInterceptor(app_with(lambda: ours.capture("checkout", properties=PROPERTIES)), client=ours)
    official_one = PosthogASGIMiddleware(
        app_with(lambda: theirs.capture("checkout", properties=PROPERTIES)), client=theirs
    )
    sentry_one = SentryAsgiMiddleware(app_with(lambda: sentry_sdk.capture_message("checkout")))
    one = Figure(
        "interceptor and one capture()",
        paired_us(empty, mine),
        "us/request",
        12.0,
        (
            ("posthog-python's", paired_us(empty, official_one)),
            ("Sentry's, capture_message()", paired_us(empty, sentry_one)),
        ),
    )
    # Every visitor and page is new, so that no cache of the interceptor helps.
    new = Figure("the same, every visitor and page new", paired_us(empty, mine, COUNT, COUNT), "us/request")
    print_figures([nothing, watching, one, new])


if __name__ == "__main__":
    main()
    os._exit(0)  # skips the flush at exit: these events need not be sent
