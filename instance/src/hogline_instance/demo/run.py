"""Start and stop the demo's processes, and print each visitor's steps and the URLs to open."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import urllib3

from hogline_instance.demo import posthog_js
from hogline_instance.demo.browser import Browser
from hogline_instance.demo.crowd import Crowd
from hogline_instance.demo.processes import Instance, Shop, end, listen, start_instance, start_shop
from hogline_instance.demo.team import FLAG, Team
from hogline_instance.demo.visitors import STORIES, Story
from hogline_instance.exceptions import InstanceError

__all__ = ["main"]

_FASTAPI_SHOP = Path(__file__).with_name("shop_fastapi.py")
_OLD, _NEW = "1.0", "2.0"
_GIFT_CARDS = 3
_FAILED_CHECKOUTS = 10
_FEW = 4
_NPM_S = 10.0
_FIRST_PAUSE_S = 0.3
_CALM_PAUSE_S = 2.5
_WIDTH = 9


class _StopDemo(BaseException):
    """SIGTERM asked the demo to end."""


def main(argv: list[str]) -> int:
    """Run the demo until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="hogline demo", description="Run the instance, a small shop and its visitors."
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="keep the instance's data here (default: a temporary folder)"
    )
    parser.add_argument("--port", type=int, default=0, help="the instance's port (default: a free one)")
    parser.add_argument("--shop-port", type=int, default=0, help="the shop's port (default: a free one)")
    parser.add_argument(
        "--posthog-js",
        type=Path,
        metavar="DIR",
        help="dist folder of the npm package posthog-js (default: fetched with npm)",
    )
    parser.add_argument(
        "--app",
        type=_shop_file,
        default=_FASTAPI_SHOP,
        metavar="FILE",
        help="a shop on another framework: a file such as those in examples/shop, named after its package",
    )
    parser.add_argument("--once", action="store_true", help="end after the first round of visitors")
    options = parser.parse_args(argv)
    framework = _framework(options.app)
    if find_spec(framework) is None:
        print(
            f"hogline demo: this shop needs {framework}, which is not installed: pip install {framework}",
            file=sys.stderr,
        )
        return 1
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        with ExitStack() as stack:
            _Demo(options, stack).run()
    except _StopDemo:
        print("\nended", flush=True)
    except InstanceError as error:
        print(f"hogline demo: {error}", file=sys.stderr)
        return 1
    return 0


def _shop_file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a file; in a checkout, `./dev demo --app NAME` takes the names in examples/shop"
        )
    return path


def _framework(shop: Path) -> str:
    return shop.stem.removeprefix("shop_")


def _stop(_number: int, _frame: object) -> None:
    raise _StopDemo


class _Demo:
    """Runs the demo's processes and ends them in reverse order."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self._options = options
        self._stack = stack
        self._started_s = time.monotonic()
        self._bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def run(self) -> None:
        self._say("demo", "starting an instance, a small shop and its visitors; press Ctrl-C to end it all")
        scripts = self._scripts()
        data = self._options.data or Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="hogline-demo-"))
        )
        listener = listen(self._options.shop_port)
        instance = start_instance(self._stack, data, self._options.port, scripts)
        self._say("instance", f"listens at {instance.url}")
        start = partial(start_shop, self._stack, instance=instance, has_posthog_js=scripts is not None)
        old = start(listen(0), app=self._options.app, release=_OLD)
        new = start(listener, app=self._options.app, release=_NEW)
        team = Team(instance)
        flag_page = team.define_flag()
        team.upload_source_maps(_NEW)
        regression = self._play_release_1(team, instance, old)
        new.wait()
        self._say("shop", f"release {_NEW} is open at {new.url}, written with {_framework(self._options.app)}")
        browser = partial(Browser, instance_url=instance.url, token=instance.token, shop_url=new.url, release=_NEW)
        crowd = Crowd(browser)
        session = self._visit(browser, crowd, _FIRST_PAUSE_S, _FAILED_CHECKOUTS)
        issues = {
            "back again": regression, "a flag's bug": team.issue_of("ValueError", _NEW, occurrences=_FAILED_CHECKOUTS),
            "minified code": team.issue_of("TypeError", _NEW),
        }  # fmt: skip
        team.issue_of("KeyError", _NEW)
        self._where_to_look(instance.url, new.url, session, issues, flag_page)
        while not self._options.once:
            self._visit(browser, crowd, _CALM_PAUSE_S, 0)

    def _play_release_1(self, team: Team, instance: Instance, shop: Shop) -> str:
        """Let visitors hit a bug of release 1.0, resolve its issue, end the shop; return the issue."""
        shop.wait()
        browser = partial(Browser, instance_url=instance.url, token=instance.token, shop_url=shop.url, release=_OLD)
        Crowd(browser).hits_the_gift_card_bug(_GIFT_CARDS)
        self._say("shop", f"release {_OLD} breaks for {_GIFT_CARDS} visitors with a gift card (KeyError)")
        issue = team.issue_of("KeyError", _OLD, occurrences=_GIFT_CARDS)
        team.resolve(issue)
        end(shop.process)
        self._say("team", f"resolves the issue, and deploys release {_NEW}")
        return issue

    def _scripts(self) -> Path | None:
        """Return the folder of posthog-js: the given, an installed, or a downloaded one.

        Returns None when the shop's own script has to record the clicks.
        """
        if self._options.posthog_js is not None:
            named: Path = self._options.posthog_js
            return named
        found = posthog_js.find()
        if found is None and (npm := posthog_js.install()) is not None:
            self._say("npm", f"downloads posthog-js {posthog_js.VERSION} once, to record your own clicks")
            try:
                npm.wait(_NPM_S)
            except subprocess.TimeoutExpired:
                self._say("npm", "is still downloading; this time a small script of the shop records your clicks")
                self._stack.callback(end, npm)
            found = posthog_js.find() if npm.poll() == 0 else None
        if found is None:
            self._say(
                "browser",
                "has no posthog-js (install npm, or pass --posthog-js DIR); a small script records your clicks",
            )
        return found

    # -- visitors ---------------------------------------------------------------

    def _visit(self, browser: Callable[..., Browser], crowd: Crowd, pause_s: float, until_failed: int) -> str:
        """Run every story once, all at the same time, beside some of the crowd; return Jane's session.

        The crowd stops when *until_failed* checkouts have failed; 0: after a few visitors.
        """
        sessions, visits = {}, []
        for story in STORIES:
            machine = story.browser(browser)
            sessions[story.name] = machine.session_id
            # Daemon threads: a visitor in the middle of a step must not delay the demo's end.
            visits.append(threading.Thread(target=self._play, args=(story, machine, pause_s), daemon=True))
        visits.append(threading.Thread(target=self._play_crowd, args=(crowd, until_failed), daemon=True))
        for visit in visits:
            visit.start()
        for visit in visits:
            visit.join()
        return sessions["Jane"]

    def _play(self, story: Story, browser: Browser, pause_s: float) -> None:
        try:
            story.play(browser, self._say, pause_s)
        except urllib3.exceptions.HTTPError:
            self._say(story.name, "cannot reach the shop")

    def _play_crowd(self, crowd: Crowd, until_failed: int) -> None:
        try:
            came, failed = crowd.pays(until_failed=until_failed) if until_failed else crowd.pays(visitors=_FEW)
        except urllib3.exceptions.HTTPError:
            return
        self._say("others", f"{came} visitors check out: it fails for {failed} of them (ValueError, 500)")

    # -- words ---------------------------------------------------------------

    def _say(self, who: str, what: str) -> None:
        # One write: several visitors speak at the same time.
        print(f"{time.monotonic() - self._started_s:5.1f} s  {who:<{_WIDTH}} {what}\n", end="", flush=True)

    def _where_to_look(
        self, instance_url: str, shop_url: str, session: str, issues: Mapping[str, str], flag_page: str
    ) -> None:
        notes = {
            "back again": f"resolved in {_OLD}, came back in {_NEW}: Jane's gift card",
            "a flag's bug": f"what its visitors have in common: the flag {FLAG}",
            "minified code": "Ada's error in the browser, at its place in the source",
        }
        lines = (
            ("Jane's session", f"{instance_url}/session/{session}"),
            *((name, f"{instance_url}/issue/{issue}   {notes[name]}") for name, issue in issues.items()),
            ("the flag", f"{flag_page}   decides the checkout: switch it, then load the cart again"),
            ("people", f"{instance_url}/people   and {instance_url}/groups: who they are, and their organisations"),
            ("live events", f"{instance_url}/"),
            ("the shop", f"{shop_url}/   click through it: your own session appears live"),
        )
        print(f"\n{self._strong('Look here')}")
        for name, url in lines:
            print(f"  {name:<16}{url}")
        if not self._options.once:
            print("\nThe visitors continue. Press Ctrl-C to end the demo.\n", flush=True)

    def _strong(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._bold else text
