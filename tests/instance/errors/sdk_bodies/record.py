"""Record the official SDKs' `$exception` bodies: `python -m tests.instance.errors.sdk_bodies.record`.

Each SDK runs the mistakes of a small shop against a server that keeps what it receives. It runs them
twice: the second time the files lie in another folder (for the browser on another host, under a
name with a hash) and have twenty more lines, so that the same mistakes have other places. Paths of
this machine are replaced. It needs Node.js, npm and Chromium.
"""

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs

from tests.support.browser import launch_browser
from tests.support.tools import ROOT, npm_package, require

HERE = Path(__file__).parent
SHIFT = "\n" * 20
MOVED = "-moved"
PAGE = """<!doctype html><html><head><title>Shop</title><link rel="icon" href="data:,">
<script src="/static/array.js"></script></head><body><script>
posthog.init("phc_recorded", {api_host: location.origin, disable_compression: true, opt_out_useragent_filter: true,
  capture_exceptions: true, capture_pageview: false, autocapture: false, request_batching: false, disable_session_recording: true,
  loaded: () => { window.ready = true }});
</script><script src="SCRIPT"></script></body></html>"""


class Recorder(ThreadingHTTPServer):
    """Keeps every `$exception`, and serves the page with posthog-js."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.exceptions: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        scripts = npm_package("posthog-js") / "dist"
        if path.startswith("/page"):
            script = "/static/shop.1c8d4e5f.js" if path == "/page" else "/assets/2026/shop.3f9a2b7c.js"
            self._answer(PAGE.replace("SCRIPT", script).encode(), "text/html")
        elif path.startswith("/static/shop."):
            self._answer((HERE / "shop.js").read_bytes(), "text/javascript")
        elif path.startswith("/assets/"):
            self._answer(SHIFT.encode() + (HERE / "shop.js").read_bytes(), "text/javascript")
        elif path.endswith("config"):
            self._answer(b'{"autocaptureExceptions": true, "errorTracking": {}}', "application/json")
        elif (file := scripts / path.rpartition("/")[2]).is_file():
            self._answer(file.read_bytes(), "text/javascript")
        else:
            self._answer(b"{}", "application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        body = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        text = parse_qs(body.decode())["data"][0] if body.startswith(b"data=") else body.decode() or "{}"
        sent = json.loads(text)
        events = sent if isinstance(sent, list) else sent.get("batch", [sent])
        self.server.exceptions += [each for each in events if each.get("event") == "$exception"]
        self._answer(b'{"status": 1, "flags": {}}', "application/json")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def recorder() -> Iterator[Recorder]:
    """Run a recorder."""
    server = Recorder()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def record_web(server: Recorder) -> None:
    """Make each mistake in Chromium, on two hosts."""
    with launch_browser() as browser:
        for address, path, label in (("127.0.0.1", "/page", ""), ("localhost", "/page/moved", MOVED)):
            page = browser.new_page()
            page.goto(f"http://{address}:{server.server_port}{path}")
            page.wait_for_function("Boolean(window.ready && window.run && window.onerror)")
            for number, name in enumerate(page.evaluate("Object.keys(mistakes)")):
                count = len(server.exceptions)
                page.evaluate("([name, id]) => { window.run(name, id) }", [name, 1_000 + number + len(label)])
                deadline = time.monotonic() + 20
                while len(server.exceptions) == count:
                    page.wait_for_timeout(20)
                    assert time.monotonic() < deadline, f"posthog-js did not send {name}"
                server.exceptions[-1]["properties"]["recorded"] = name + label


def record_script(server: Recorder, file: str, command: list[str], environ: dict[str, str]) -> None:
    """Run a script of the shop in two folders."""
    for folder, label, before in (("shop", "", ""), ("releases/7/shop", MOVED, SHIFT)):
        with TemporaryDirectory() as base:
            place = Path(base) / folder / file.replace("_node", "").replace("_python", "")
            place.parent.mkdir(parents=True)
            place.write_text(before + (HERE / file).read_text())
            subprocess.run(
                [*command, str(place), server.url, label], cwd=place.parent, env=os.environ | environ, check=False, timeout=60
            )  # fmt: skip
            for sent in server.exceptions:
                sent["properties"].setdefault("recorded", f"rejected{label}")
            text = json.dumps(server.exceptions)
            for found, replaced in ((base, "/srv"), (str(ROOT), "/srv/app"), (sys.base_prefix, "/usr")):
                text = text.replace(json.dumps(found)[1:-1], replaced)
            server.exceptions[:] = json.loads(text)


def save(name: str, make: Callable[[Recorder], None]) -> None:
    """Record an SDK, and write its library, version and exceptions by name."""
    with recorder() as server:
        make(server)
        first = server.exceptions[0]["properties"]
        # Newer clients send the library beside the properties, in options of the batch.
        found = {
            "$lib": first["$lib"],
            "$lib_version": first["$lib_version"],
            "exceptions": {
                each["properties"]["recorded"]: {
                    key: value
                    for key, value in each["properties"].items()
                    if key.startswith("$exception") or key == "$issue_name"
                }
                for each in server.exceptions
            },
        }
    (HERE / f"{name}.json").write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def main() -> None:
    """Record all."""
    save("web", record_web)
    modules = {"NODE_PATH": str(npm_package("posthog-node").parent)}
    save("node", lambda server: record_script(server, "shop_node.js", [require("node")], modules))
    save("python", lambda server: record_script(server, "shop_python.py", [sys.executable], {}))


if __name__ == "__main__":
    main()
