"""Checks of a running app.

They check whether the app answers, whether browsers may send it tracing headers, and which of
them arrive.
"""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import orjson
import urllib3

from hogline.delivery.http_pool import open_pool
from hogline.doctor.finding import Finding
from hogline.facts import cors, tracing

__all__ = ["answer_finding", "arrival", "line_findings", "preflight_finding"]

_FORGED = "203.0.113.7"  # an address for documentation (RFC 5737), which no proxy can have seen
_POLL_S = 0.5
_SHOWN_BYTES = 120


def answer_finding(app: str, timeout_s: float) -> Finding:
    """Send *app* one request, as any visitor would."""
    try:
        answer = _ask("GET", app, {}, timeout_s)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Finding("app", "fail", f"{app} does not answer: {error}", "start the app, or check the URL and its port")
    if answer.status >= 400:
        advice = "pass a URL that the app answers with success, and whose handler captures an event"
        return Finding("app", "fail", f"{app} answers {answer.status}", advice)
    if answer.status >= 300:
        target = answer.headers.get("Location", "another URL")
        return Finding(
            "app", "warn", f"{app} answers {answer.status} and sends its visitors to {target}", "pass that URL"
        )
    return Finding("app", "ok", f"{app} answers {answer.status}")


def preflight_finding(app: str, origin: str, timeout_s: float) -> Finding:
    """Send *app* the preflight that a browser sends before tracing headers.

    The browser shows a page of *origin*.
    """
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
            "CORS", "fail", f"{', '.join(refused)} not allowed: the browser will not send its requests", cors.advice("")
        )
    return Finding("CORS", "ok", f"{origin} may send the tracing headers")


def line_findings(app: str, host: str, key: str, identity: str, timeout_s: float) -> Iterator[Finding]:
    """Call *app* with tracing headers of *identity*, and check the event of its handler."""
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
        yield Finding("interceptor", "fail", said, "does another middleware remove x-posthog-* headers?")
        return
    yield Finding("interceptor", "ok", f"{event.get('event')!r} arrived with the browser's session")
    address = properties.get("$ip")
    if address == _FORGED:
        yield Finding("proxy hops", "warn", "$ip is whatever the visitor writes into X-Forwarded-For",
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
        return Finding("arrival", "fail", f"the event was accepted, but cannot be read back after {timeout_s:g} s",
                       "does the personal key belong to the same project as the token?")  # fmt: skip
    return Finding("arrival", "ok", f"the event can be seen after {time.monotonic() - begun_s:.1f} s")


def _find(host: str, key: str, distinct_id: str, timeout_s: float) -> dict[str, Any] | Finding | None:
    """Return the newest event of *distinct_id*, waiting for it; a Finding if events cannot be read.

    None: it did not arrive.
    """
    url = f"{_api(host)}/api/projects/@current/events/?{urlencode({'distinct_id': distinct_id, 'limit': 1})}"
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            answer = _ask("GET", url, {"Authorization": f"Bearer {key}"}, timeout_s)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Finding("arrival", "fail", f"events cannot be read back: {error}")
        if answer.status in (401, 403):
            return Finding(
                "arrival", "fail", f"the personal key is refused ({answer.status})", "pass one that may read events"
            )
        results = _results(answer)
        if results is None:
            beginning = " ".join(answer.data[:_SHOWN_BYTES].decode("utf-8", "replace").split())
            return Finding(
                "arrival",
                "fail",
                f"events cannot be read back: {_api(host)} answered {answer.status} with {beginning!r}",
                "is the host a PostHog, and not a proxy that passes on only events?",
            )
        if results:
            return results[0]
        if time.monotonic() > deadline_s:
            return None
        time.sleep(_POLL_S)


def _results(answer: urllib3.BaseHTTPResponse) -> list[dict[str, Any]] | None:
    """Return the list of events in *answer*; None: it is no such list."""
    try:
        body = orjson.loads(answer.data) if answer.status == 200 else None
    except ValueError:
        return None
    results = body.get("results") if isinstance(body, dict) else None
    is_list = isinstance(results, list) and all(isinstance(event, dict) for event in results)
    return results if is_list else None


def _ask(method: str, url: str, headers: dict[str, str], timeout_s: float) -> urllib3.BaseHTTPResponse:
    with open_pool(url) as pool:
        return pool.request(method, url, headers=headers, timeout=timeout_s, retries=False, redirect=False)


def _api(host: str) -> str:
    """Return the address of the API: PostHog Cloud has one beside the ingestion's."""
    return host.replace(".i.posthog.com", ".posthog.com")
