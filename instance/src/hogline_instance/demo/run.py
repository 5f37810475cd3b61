"""Start and stop the demo's processes, and print each visitor's steps and the URLs to open."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import urllib3

from hogline_instance.demo import posthog_js
from hogline_instance.demo.browser import Browser
from hogline_instance.demo.visitors import STORIES, Story
from hogline_instance.exceptions import InstanceError

__all__ = ["main"]

_FASTAPI_SHOP = Path(__file__).with_name("shop_fastapi.py")
_START_S = 60.0
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
        shop_socket = self._listen(self._options.shop_port)
        keys = self._start_instance(data, scripts)
        instance_url, token = keys["url"], keys["project token"]
        flag_url = self._define_flag(keys)
        shop_url = f"http://127.0.0.1:{shop_socket.getsockname()[1]}"
        self._start_shop(shop_socket, instance_url, token, scripts is not None)
        self._wait_for(f"{shop_url}/", "the shop")
        self._say("shop", f"is open at {shop_url}, written with {_framework(self._options.app)}")
        sessions = self._visit(instance_url, token, shop_url, _FIRST_PAUSE_S)
        exception = self._wait_for_story(keys, sessions["Jane"])
        self._where_to_look(instance_url, shop_url, sessions["Jane"], exception, flag_url)
        while not self._options.once:
            self._visit(instance_url, token, shop_url, _CALM_PAUSE_S)

    # -- processes ---------------------------------------------------------------

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
                self._stack.callback(_end, npm)
            found = posthog_js.find() if npm.poll() == 0 else None
        if found is None:
            self._say(
                "browser",
                "has no posthog-js (install npm, or pass --posthog-js DIR); a small script records your clicks",
            )
        return found

    def _start_instance(self, data: Path, scripts: Path | None) -> dict[str, str]:
        command = [sys.executable, "-m", "hogline.cli", "serve", "--data", str(data), "--port", str(self._options.port)]
        command += ["--posthog-js", str(scripts)] if scripts is not None else []
        log = self._stack.enter_context(
            (data if data.is_dir() else Path(tempfile.gettempdir())).joinpath("serve.log").open("w+")
        )
        process = subprocess.Popen(  # noqa: S603 - this interpreter, with words of ours
            command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        self._stack.callback(_end, process)
        assert process.stdout is not None
        keys: dict[str, str] = {}
        for line in process.stdout:
            name, _, value = line.strip().partition("  ")
            if value:
                keys[name] = value.strip()
            if len(keys) == 3:
                break
        else:
            log.seek(0)
            told = [line.strip() for line in log if line.startswith("hogline serve: ")]
            raise InstanceError(
                told[-1].removeprefix("hogline serve: ") if told else "the instance did not start; try `hogline serve`"
            )
        # Keep reading its output and discard it: a full pipe would block the instance.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        self._say("instance", f"listens at {keys['url']}")
        return keys

    def _start_shop(self, listener: socket.socket, instance_url: str, token: str, has_posthog_js: bool) -> None:
        environ = os.environ | {
            "SHOP_INSTANCE_URL": instance_url,
            "SHOP_TOKEN": token,
            "SHOP_APP": str(self._options.app),
            "SHOP_SOCKET": str(listener.fileno()),
            "SHOP_POSTHOG_JS": "1" if has_posthog_js else "0",
        }
        command = [sys.executable, "-m", "hogline_instance.demo.shop_server"]
        process = subprocess.Popen(  # noqa: S603 - this interpreter, with words of ours
            command, env=environ, pass_fds=[listener.fileno()], start_new_session=True
        )
        self._stack.callback(_end, process)
        listener.close()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            listener.close()
            raise InstanceError(
                f"the shop cannot listen on port {port}: {error.strerror}; choose another with --shop-port"
            ) from error
        listener.listen(128)
        return listener

    def _wait_for(self, url: str, what: str) -> None:
        deadline_s = time.monotonic() + _START_S
        pool = urllib3.PoolManager(retries=False, timeout=2)
        while time.monotonic() < deadline_s:
            try:
                if pool.request("GET", url).status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)
        raise InstanceError(f"{what} does not respond at {url}")

    def _define_flag(self, keys: dict[str, str]) -> str:
        """Define the flag of the shop unless the data folder has it, and return its page."""
        path = f"{keys['url']}/api/projects/@current/feature_flags/"
        headers = {"Authorization": f"Bearer {keys['personal key']}", "Content-Type": "application/json"}
        variants = [{"key": key, "rollout_percentage": 50} for key in ("control", "test")]
        filters = {"groups": [{"properties": [], "rollout_percentage": 100}], "multivariate": {"variants": variants}}
        body = {"key": "new-checkout", "name": "Five percent off in the cart", "filters": filters}
        pool = urllib3.PoolManager(retries=False, timeout=10)
        pool.request("POST", path, body=json.dumps(body).encode(), headers=headers)  # refused if it is there already
        found = json.loads(pool.request("GET", f"{path}?search=new-checkout", headers=headers).data)["results"]
        return f"{keys['url']}/feature_flags/{found[0]['id']}" if found else f"{keys['url']}/feature_flags"

    # -- visitors ---------------------------------------------------------------

    def _visit(self, instance_url: str, token: str, shop_url: str, pause_s: float) -> dict[str, str]:
        """Run every visitor once, all at the same time, and return their sessions by name."""
        sessions, visits = {}, []
        for story in STORIES:
            browser = story.browser(instance_url=instance_url, token=token, shop_url=shop_url)
            sessions[story.name] = browser.session_id
            # Daemon threads: a visitor in the middle of a step must not delay the demo's end.
            visits.append(threading.Thread(target=self._play, args=(story, browser, pause_s), daemon=True))
        for visit in visits:
            visit.start()
        for visit in visits:
            visit.join()
        return sessions

    def _play(self, story: Story, browser: Browser, pause_s: float) -> None:
        try:
            story.play(browser, self._say, pause_s)
        except urllib3.exceptions.HTTPError:
            self._say(story.name, "cannot reach the shop")

    def _wait_for_story(self, keys: dict[str, str], session_id: str) -> str:
        """Wait until the exception of *session_id* is stored, and return its uuid."""
        pool = urllib3.PoolManager(retries=False, timeout=5)
        query = f"event=%24exception&session_id={session_id}"
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            answer = pool.request(
                "GET",
                f"{keys['url']}/api/projects/@current/events/?{query}",
                headers={"Authorization": f"Bearer {keys['personal key']}"},
            )
            for event in json.loads(answer.data).get("results", []):
                if event["properties"]["$exception_list"][0]["type"] == "KeyError":
                    return str(event["uuid"])
            time.sleep(0.1)
        raise InstanceError("the visitors' events did not reach the instance; its log says why")

    # -- words ---------------------------------------------------------------

    def _say(self, who: str, what: str) -> None:
        print(f"{time.monotonic() - self._started_s:5.1f} s  {who:<{_WIDTH}} {what}", flush=True)

    def _where_to_look(self, instance_url: str, shop_url: str, session_id: str, exception: str, flag_url: str) -> None:
        lines = (
            ("Jane's session", f"{instance_url}/session/{session_id}"),
            ("the exception", f"{instance_url}/event/{exception}"),
            ("the flag", f"{flag_url}   decides the checkout: switch it, then load the cart again"),
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


def _end(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    """Terminate a child, and kill it if it does not end in time."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
