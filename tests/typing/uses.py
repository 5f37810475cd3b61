"""The public API as a user's typed program uses it; type checkers read it, nobody runs it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from fastapi import FastAPI
from flask import Flask

import hogline
from hogline import ExceptionCapture, PostHog, Stats
from hogline.interceptors.asgi import PostHogInterceptor as AsgiInterceptor
from hogline.interceptors.fastapi import PostHogInterceptor as FastApiInterceptor
from hogline.interceptors.flask import PostHogInterceptor as FlaskInterceptor

posthog = PostHog("phc_x", host="https://eu.i.posthog.com", flush_at=20, on_drop=lambda reason, event: None)

assert_type(posthog.capture("checkout", properties={"total": 42}, groups={"company": "acme"}), str | None)
assert_type(posthog.set(distinct_id="u1", properties={"plan": "gold"}), str | None)
assert_type(posthog.identify("u1", {"plan": "gold"}), str | None)
assert_type(posthog.alias("anonymous", "u1"), str | None)
assert_type(posthog.group_identify("company", "acme", {"size": 3}), str | None)
assert_type(posthog.capture_exception(ValueError()), str | None)
assert_type(posthog.flush(), bool)
assert_type(posthog.shutdown(1.5), bool)
assert_type(posthog.stats(), Stats)
assert_type(posthog.stats().accepted, int)
assert_type(posthog.disabled, bool)
assert_type(PostHog("phc_x", release="2.0", environment="qa", detect_deployment=False).release, str | None)

assert_type(hogline.capture("checkout"), str | None)
assert_type(hogline.get_tags(), dict[str, Any])
assert_type(hogline.get_context_session_id(), str | None)


async def ends() -> None:
    assert_type(await posthog.aflush(), bool)
    assert_type(await posthog.ashutdown(2.0), bool)


@hogline.scoped(fresh=True)
def total(price: float, count: int) -> float:
    hogline.tag("count", count)
    return price * count


@hogline.scoped()
async def later(name: str) -> str:
    return name


@hogline.scoped()
def lines() -> Iterator[bytes]:
    yield b"line"


@hogline.scoped()
async def rows() -> AsyncIterator[bytes]:
    yield b"row"


assert_type(total(1.5, 2), float)

with hogline.new_context(capture_exceptions=True, client=posthog):
    hogline.identify_context("u1")

app = FastAPI()
app.add_middleware(FastApiInterceptor, client=posthog, capture_exceptions=ExceptionCapture(min_status_to_capture=400))
FlaskInterceptor(Flask("shop"), client=posthog, trusted_proxies=1)
wrapped = AsgiInterceptor(app, client=posthog, url_query="drop")
