"""The command line of the doctor.

It takes the settings that an app would have, runs the checks until a cause is found, and prints a
report.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

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
    # It sends only its own event, once: a spool that the environment names belongs to the app.
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
        print(f"\n{_summary(found)}")
    return int(failed > 0)


def _summary(found: Iterable[Finding]) -> str:
    """Return the last line of the report.

    It says that all is well only if every verdict is `ok`.
    """
    counts = Counter(finding.verdict for finding in found)
    if counts["fail"]:
        return f"{counts['fail']} failed"
    others = ((counts["warn"], "to look at"), (counts["skip"], "skipped"))
    odd = [f"{count} {word}" for count, word in others if count]
    return f"nothing failed, {' and '.join(odd)}" if odd else "all is well"


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
    yield (answered := app.answer_finding(options.app, timeout_s))
    if answered.verdict == "fail":
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


def _url(text: str) -> str:
    """Return the URL of a command line's option. Raises ArgumentTypeError: it is no URL."""
    parts = urlsplit(text)
    if parts.scheme in ("http", "https") and parts.hostname:
        return text
    hint = "; start the app, and pass the URL that it is reached by" if "://" not in text else ""
    raise argparse.ArgumentTypeError(f"{text!r} is no URL such as http://127.0.0.1:8000/checkout{hint}")


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
    parser.add_argument(
        "--app", metavar="URL", type=_url, help="a URL of your running app whose handler captures an event"
    )
    parser.add_argument(
        "--origin", metavar="URL", type=_url, help="the origin of the pages that call the app, to check its CORS"
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=10.0, help="longest wait for each answer (10)"
    )
    parser.add_argument(
        "--wait", metavar="SECONDS", type=float, default=30.0, help="longest wait for each event to arrive (30)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser
