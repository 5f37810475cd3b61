"""An app of the user's: whether a browser may send it tracing headers, and what becomes of them."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import orjson
import urllib3

from hogline.delivery.http_pool import open_pool
from hogline.doctor.finding import Finding
from hogline.facts import cors, tracing

__all__ = ["arrival", "line_findings", "preflight_finding"]

_FORGED = "203.0.113.7"  # an address of nobody's (RFC 5737), that no proxy can have seen
_POLL_S = 0.5


def preflight_finding(app: str, origin: str, timeout_s: float) -> Finding:
    """Ask *app* as the browser of a page on *origin* would, before it sends tracing headers."""
    asked = f"{tracing.SESSION_ID}, {tracing.WINDOW_ID}, {tracing.DISTINCT_ID}"
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": asked}
    try:
        answer = _ask("OPTIONS", app, headers, timeout_s)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Finding("CORS", "fail", f"{app} does not answer: {error}")
    allowed = answer.headers.get("Access-Control-Allow-Origin")
    if allowed not in ("*", origin):
        return Finding("CORS", "fail", f"the answer does not allow {origin} ({answer.status})",
                       f"let your CORS middleware allow the origin {origin}")  # fmt: skip
    refused = cors.refused(asked, answer.headers.items())
    if refused:
        return Finding(
            "CORS", "fail", f"{', '.join(refused)} not allowed: the browser gives up its requests", cors.advice("")
        )
    return Finding("CORS", "ok", f"{origin} may send the tracing headers")


def line_findings(app: str, host: str, key: str, identity: str, timeout_s: float) -> Iterator[Finding]:
    """Ask *app* with tracing headers of *identity*, and look at the event that its handler captured."""
    session = f"{identity}-session"
    headers = {tracing.SESSION_ID: session, tracing.DISTINCT_ID: identity, "X-Forwarded-For": _FORGED}
    try:
        answer = _ask("GET", app, headers, timeout_s)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        yield Finding("interceptor", "fail", f"{app} does not answer: {error}")
        return
    event = _find(host, key, identity, timeout_s)
    if isinstance(event, Finding):
        yield event
        return
    if event is None:
        advice = (
            "ask a URL whose handler captures, install the interceptor, and leave identity_headers on for this check"
        )
        yield Finding(
            "interceptor", "fail", f"{app} answered {answer.status}, and no event of that request arrived", advice
        )
        return
    properties = event.get("properties") or {}
    if properties.get("$session_id") != session:
        said = f"{event.get('event')!r} arrived without the browser's session"
        yield Finding("interceptor", "fail", said, "is another middleware taking x-posthog-* headers away?")
        return
    yield Finding("interceptor", "ok", f"{event.get('event')!r} arrived with the browser's session")
    address = properties.get("$ip")
    if address == _FORGED:
        yield Finding("proxy hops", "warn", "$ip is what the visitor says it is, in X-Forwarded-For",
                      "tell the interceptor how many proxies are yours: trusted_proxies=1, or 0 for none; and uvicorn: --no-proxy-headers")  # fmt: skip
    else:
        yield Finding("proxy hops", "ok", f"a forged X-Forwarded-For changes nothing: $ip is {address}")


def arrival(host: str, key: str, distinct_id: str, timeout_s: float) -> Finding:
    """Wait until the event of *distinct_id* can be read back with the personal *key*."""
    begun_s = time.monotonic()
    event = _find(host, key, distinct_id, timeout_s)
    if isinstance(event, Finding):
        return event
    if event is None:
        return Finding("arrival", "fail", f"the event was accepted, and is not to be seen after {timeout_s:g} s",
                       "does the personal key belong to the same project as the token?")  # fmt: skip
    return Finding("arrival", "ok", f"the event can be seen after {time.monotonic() - begun_s:.1f} s")


def _find(host: str, key: str, distinct_id: str, timeout_s: float) -> dict[str, Any] | Finding | None:
    """Return the newest event of *distinct_id*, waiting for it; a Finding when it cannot be asked for."""
    url = f"{_api(host)}/api/projects/@current/events/?{urlencode({'distinct_id': distinct_id, 'limit': 1})}"
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            answer = _ask("GET", url, {"Authorization": f"Bearer {key}"}, timeout_s)
            results = orjson.loads(answer.data)["results"] if answer.status == 200 else []
        except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            return Finding("arrival", "fail", f"events cannot be read back: {error}")
        if answer.status in (401, 403):
            return Finding(
                "arrival", "fail", f"the personal key is refused ({answer.status})", "pass one that may read events"
            )
        if results:
            event: dict[str, Any] = results[0]
            return event
        if time.monotonic() > deadline_s:
            return None
        time.sleep(_POLL_S)


def _ask(method: str, url: str, headers: dict[str, str], timeout_s: float) -> urllib3.BaseHTTPResponse:
    with open_pool(url) as pool:
        return pool.request(method, url, headers=headers, timeout=timeout_s, retries=False, redirect=False)


def _api(host: str) -> str:
    """Return the address that answers questions: PostHog Cloud has one of its own beside the ingestion's."""
    return host.replace(".i.posthog.com", ".posthog.com")
