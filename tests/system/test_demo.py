"""`hogline demo`: what a newcomer runs first works, says where to look, and leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

pytestmark = pytest.mark.timeout(240)
STORY = ("product viewed", "order placed", "receipt sent", "catalogue exported", "KeyError", "503")
POOL = urllib3.PoolManager(retries=False, timeout=20)


@pytest.fixture
def demo(tmp_path):
    """Start the demo without npm; whatever is left of it is killed at the end."""
    started = []

    def start(*options):
        environ = os.environ | {
            "XDG_CACHE_HOME": str(tmp_path),
            "PATH": str(Path(sys.executable).parent),
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", "hogline.cli", "demo", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        process.stdout.close()


def read_until(process, text):
    """Return the lines up to the one that holds *text*."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("the demo ended:\n" + "".join(lines))


def url_of(told, name):
    return re.search(rf"{re.escape(name)}\s+(http\S+)", told)[1]


def text_of(url):
    return POOL.request("GET", url).data.decode()


def children_of(pid):
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[1] == str(pid)]


def test_it_shows_a_session_an_exception_and_a_shop_and_ends_cleanly(demo):
    """Every page it names answers with what it promises; Ctrl-C ends with status 0 and no process left."""
    process = demo()
    told = read_until(process, "Ctrl-C ends.")
    wanted = ["jane@example.com", "Window 2", *STORY]
    deadline = time.monotonic() + 30
    while missing := [text for text in wanted if text not in text_of(url_of(told, "Jane's session"))]:
        assert time.monotonic() < deadline, missing
        time.sleep(0.1)
    exception = POOL.request("GET", url_of(told, "the exception")).data.decode()
    for text in ("KeyError", "apply_gift_card", "hogline_instance/demo/catalogue.py", "unhandled", "500"):
        assert text in exception, text
    assert POOL.request("GET", url_of(told, "live events")).status == 200
    shop = POOL.request("GET", url_of(told, "the shop"))
    assert b"Moka" in shop.data
    assert "Content-Security-Policy" in shop.headers
    assert len(children_of(process.pid)) == 2
    instance = url_of(told, "live events")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    with pytest.raises(urllib3.exceptions.HTTPError):
        POOL.request("GET", instance)


@pytest.mark.parametrize("app", ["flask", "django"])
def test_the_shop_is_the_same_on_other_frameworks(demo, app):
    """The same session: pages, work after the response, a stream, the bug, and the payment provider's 503."""
    process = demo("--app", app)
    told = read_until(process, "Ctrl-C ends.")
    assert f"on {app}" in told
    wanted = ["jane@example.com", "Window 2", *STORY]
    deadline = time.monotonic() + 30
    while missing := [text for text in wanted if text not in text_of(url_of(told, "Jane's session"))]:
        assert time.monotonic() < deadline, missing
        time.sleep(0.1)
    exception = text_of(url_of(told, "the exception"))
    for text in ("KeyError", "apply_gift_card", "unhandled", "500", f"{app}.interceptor"):
        assert text in exception, text
    shop = url_of(told, "the shop").rstrip("/")
    for path in ("/", "/product/moka-pot", "/cart", "/static/shop.css"):
        assert POOL.request("GET", shop + path).status == 200, path
    assert POOL.request("GET", f"{shop}/product/nothing").status == 404
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def test_a_port_that_is_taken_is_named(demo):
    """And so is the option that chooses another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option in ("--shop-port", "--port"):
            process = demo(option, port)
            told = process.stdout.read()
            assert process.wait(60) == 1
            assert port in told
            assert "choose another" in told
            assert "Traceback" not in told


def test_sigterm_ends_it_too(demo):
    """As a supervisor does; in the middle of starting as well."""
    process = demo()
    read_until(process, "instance")
    time.sleep(0.5)
    process.terminate()
    assert process.wait(60) == 0
    assert not children_of(process.pid)
