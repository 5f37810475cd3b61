"""The command: settings as the app would have them, the checks in an order that stops at the first cause, a report."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Iterator

from hogline.client import Client
from hogline.doctor import app, server
from hogline.doctor.finding import Finding
from hogline.doctor.keys import host_finding, token_finding
from hogline.doctor.process import process_findings
from hogline.event import new_stamp
from hogline.exceptions import SettingsError
from hogline.settings import ClientSettings

__all__ = ["main"]

_WITHOUT_SPOOL = {name: None for name in ("spool_dir",) if name in ClientSettings.__slots__}
_KEYS = ("HOGLINE_PERSONAL_KEY", "POSTHOG_PERSONAL_API_KEY")


def main(argv: list[str] | None = None) -> int:
    """Check, report, and return 0, or 1 when anything failed."""
    options = _parser().parse_args(argv)
    # Its own events only, once: a spool that the environment names is the app's.
    own = {"send": True, "disabled": False, "max_retries": 0, "timeout": options.timeout, **_WITHOUT_SPOOL}
    try:
        client = Client(options.token, options.host, **own)
    except SettingsError as error:
        print(f"hogline doctor: {error}", file=sys.stderr)
        return 1
    found: list[Finding] = []
    try:
        for finding in _findings(client, options):
            found.append(finding)
            if not options.json:
                print(finding.lines(13), flush=True)
    finally:
        client.shutdown(0.0)
    failed = sum(finding.verdict == "fail" for finding in found)
    if options.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in found], indent=2))
    else:
        print(f"\n{failed} failed" if failed else "\nall is well")
    return int(failed > 0)


def _findings(client: Client, options: argparse.Namespace) -> Iterator[Finding]:
    host, timeout_s = client.settings.host, options.timeout
    identity = f"hogline-doctor-{new_stamp()[0]}"
    yield from process_findings()
    yield (token := token_finding(client.project_token))
    yield host_finding(options.host, host)
    sound = _sound(found := list(server.way_findings(host, timeout_s)))
    yield from found
    if sound and token.verdict != "fail":
        yield (delivered := server.canary(client, identity, timeout_s))
        if delivered.verdict == "ok":
            yield _arrival(host, options.personal_key, identity, options.wait)
    if options.app is None:
        yield Finding("app", "skip", "pass --app URL to check CORS, the interceptor and proxy hops of a running app")
        return
    if options.origin is None:
        yield Finding("CORS", "skip", "pass --origin https://... to ask as that page's browser would")
    else:
        yield app.preflight_finding(options.app, options.origin, timeout_s)
    if options.personal_key is None:
        yield Finding("interceptor", "skip", "pass --personal-key to look at the event that the app captures")
    else:
        yield from app.line_findings(options.app, host, options.personal_key, f"{identity}-app", options.wait)


def _arrival(host: str, key: str | None, identity: str, wait_s: float) -> Finding:
    if key is None:
        said = f"PostHog accepts tokens that it does not know; pass --personal-key phx_..., or set {_KEYS[0]}, to see the event arrive"
        return Finding("arrival", "skip", said)
    return app.arrival(host, key, identity, wait_s)


def _sound(findings: Iterable[Finding]) -> bool:
    return not any(finding.verdict == "fail" for finding in findings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hogline doctor",
        description="Check what stands between an app and its events: key, host, DNS, TLS, clock, delivery; with --app also "
        "CORS, the interceptor and proxy hops. Settings come from the environment, as an app's do.",
    )
    parser.add_argument("--token", metavar="phc_...", help="the project token")
    parser.add_argument("--host", metavar="URL", help="where events go")
    parser.add_argument("--personal-key", metavar="phx_...", help="reads events back, to see them arrive",
                        default=next((os.environ[name] for name in _KEYS if os.environ.get(name)), None))  # fmt: skip
    parser.add_argument("--app", metavar="URL", help="a URL of your running app whose handler captures an event")
    parser.add_argument("--origin", metavar="URL", help="the origin of the pages that call it, to ask its CORS")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, default=10.0, help="for each answer (10)")
    parser.add_argument("--wait", metavar="SECONDS", type=float, default=30.0, help="for each event to arrive (30)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser
