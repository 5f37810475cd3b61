"""Checks of the connection to the server: DNS, certificate, clock.

One real event is sent, too, like any other event.
"""

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from hogline.client import Client
from hogline.delivery.http_pool import authorities, open_pool, proxy_of
from hogline.doctor.finding import Finding

__all__ = ["EVENT", "canary", "way_findings"]

EVENT = "hogline doctor"
# The server corrects times by `sent_at`. A larger skew means that the machine's clock is not kept.
_SKEW_S = 60.0
_RENEW_DAYS = 14


def way_findings(host: str, timeout_s: float) -> Iterator[Finding]:
    """Yield the findings about the connection to *host*, step by step until one fails."""
    parts = urlsplit(host)
    name, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    proxy = proxy_of(host)
    if proxy is not None:
        yield Finding("proxy", "ok", f"{proxy.rpartition('@')[2]} (from the environment)")
    else:
        yield (found := _address(name, port))
        if found.verdict == "fail":
            return
        yield (found := _connection(name, port, timeout_s, encrypted=parts.scheme == "https"))
        if found.verdict == "fail":
            return
    yield _clock(host, timeout_s)


def canary(client: Client, distinct_id: str, timeout_s: float) -> Finding:
    """Send one event that belongs to nobody, and report the server's answer."""
    begun_s = time.monotonic()
    sent = client.capture(EVENT, distinct_id=distinct_id, properties={"$process_person_profile": False})
    settled = client.flush(timeout_s)
    stats, took_ms = client.stats(), (time.monotonic() - begun_s) * 1000
    if sent and settled and stats.sent:
        return Finding("delivery", "ok", f"an event was accepted in {took_ms:.0f} ms")
    answer = stats.last_error or f"no answer within {timeout_s:g} s"
    advice = None
    if answer.startswith("401"):
        advice = "the server does not know this project token: compare it, and the host's region, with the project's settings"
    elif answer.startswith("404"):
        advice = "this host takes no events; is it the app's address instead of PostHog's?"
    return Finding("delivery", "fail", f"the event was not accepted: {answer}", advice)


def _address(name: str, port: int) -> Finding:
    begun_s = time.monotonic()
    try:
        found = {item[4][0] for item in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        return Finding(
            "DNS", "fail", f"{name} has no address: {error}", "check the host's spelling, and this machine's resolver"
        )
    took_ms = (time.monotonic() - begun_s) * 1000
    return Finding("DNS", "ok", f"{name} has {len(found)} address{'es'[: 2 * (len(found) != 1)]} ({took_ms:.0f} ms)")


def _connection(name: str, port: int, timeout_s: float, *, encrypted: bool) -> Finding:
    begun_s = time.monotonic()
    try:
        with socket.create_connection((name, port), timeout=timeout_s) as plain:
            if not encrypted:
                return Finding("connection", "ok", f"open ({_since_ms(begun_s):.0f} ms)")
            context = _context()
            with context.wrap_socket(plain, server_hostname=name) as secured:
                certificate, version = secured.getpeercert() or {}, secured.version()
    except ssl.SSLCertVerificationError as error:
        advice = "put the path of your own authority's certificate into SSL_CERT_FILE or REQUESTS_CA_BUNDLE"
        return Finding("connection", "fail", f"the certificate is not trusted: {error.verify_message}", advice)
    except OSError as error:
        return Finding(
            "connection", "fail", f"{name}:{port} cannot be reached: {error}", "is a firewall or a proxy in between?"
        )
    until = ssl.cert_time_to_seconds(str(certificate.get("notAfter"))) if certificate.get("notAfter") else None
    said = f"{version} ({_since_ms(begun_s):.0f} ms)"
    if until is None:
        return Finding("connection", "ok", said)
    said += f", certificate until {datetime.fromtimestamp(until, UTC):%Y-%m-%d}"
    soon = until - time.time() < _RENEW_DAYS * 24 * 3600
    return Finding(
        "connection", "warn" if soon else "ok", said, "renew it: delivery stops on that day" if soon else None
    )


def _context() -> ssl.SSLContext:
    trusted = authorities()
    if trusted is None:
        return ssl.create_default_context()
    if Path(trusted).is_dir():
        return ssl.create_default_context(capath=trusted)
    return ssl.create_default_context(cafile=trusted)


def _clock(host: str, timeout_s: float) -> Finding:
    try:
        with open_pool(host) as pool:
            answer = pool.request("GET", f"{host}/", timeout=timeout_s, retries=False, redirect=False)
        now = datetime.now(UTC)
        skew_s = (now - parsedate_to_datetime(answer.headers.get("Date") or "")).total_seconds()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Finding("clock", "fail", f"the server does not answer: {error}")
    except (ValueError, TypeError):
        return Finding("clock", "skip", "the server's answer has no date")
    said = (
        f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the server's"
        if abs(skew_s) > 1
        else "the server's"
    )
    if abs(skew_s) > _SKEW_S:
        return Finding("clock", "warn", said, "keep this machine's time with NTP")
    return Finding("clock", "ok", said)


def _since_ms(begun_s: float) -> float:
    return (time.monotonic() - begun_s) * 1000
