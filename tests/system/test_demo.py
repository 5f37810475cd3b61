"""`hogline demo`, which a newcomer runs first, works, says where to look, and leaves nothing
behind.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import urllib3

from hogline_instance.demo import main
from hogline_instance.demo.visitors import STORIES

ROOT = Path(__file__).parents[2]
SHOPS = {"fastapi": ROOT / "instance/src/hogline_instance/demo/shop_fastapi.py"} | {
    path.stem: path for path in sorted((ROOT / "examples/shop").glob("*.py"))
}
APPS = tuple(SHOPS)
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
    """Every page that it names answers with the promised content.

    Ctrl-C ends with status 0 and no process left.
    """
    process = demo()
    told = read_until(process, "to end the demo.")
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


def test_the_shop_is_on_the_framework_that_was_asked_for(demo):
    """With a server of its own, too; nothing but the story is told, and Ctrl-C ends it."""
    process = demo("--app", str(SHOPS["sanic"]))
    told = read_until(process, "to end the demo.")
    assert "written with sanic" in told
    assert "Traceback" not in told
    assert "sanic.interceptor" in text_of(url_of(told, "the exception"))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def test_a_framework_that_is_not_there_is_named(monkeypatch, capsys):
    """One line, which says what to do."""
    monkeypatch.setitem(sys.modules, "litestar", None)
    assert main(["--app", str(SHOPS["litestar"])]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert "pip install litestar" in told.err


@pytest.mark.parametrize("app", APPS)
def test_dev_finds_the_pin_of_each_framework(app):
    """`./dev demo --app NAME` installs the framework that requirements/dev.txt has under
    that name.
    """
    assert re.search(rf"^{app}==\S+ .*\\$", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE)


def test_the_shop_is_written_in_nine_frameworks():
    """One comes with the package, the others are examples; none has been lost by a move."""
    assert set(APPS) == {"fastapi", "starlette", "flask", "django", "litestar", "quart", "aiohttp", "falcon", "sanic"}


def test_dev_demo_takes_the_name_of_a_framework():
    """`./dev demo --app NAME` becomes `hogline demo --app FILE`.

    A name without a shop is refused in one line.
    """
    for name, says in (("flask", "end it all"), ("nothing", "'nothing' is not a file")):
        run = subprocess.run(
            ["./dev", "demo", "--once", f"--app={name}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert says in run.stdout + run.stderr
        assert run.returncode == (2 if name == "nothing" else 0)


@pytest.fixture
def open_shop(sink):
    """Open the shop on a framework, with the sink for an instance, and return its process and a
    browser of Jane's in it.
    """
    started = []

    def start(app):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            environ = os.environ | {
                "SHOP_INSTANCE_URL": sink.url, "SHOP_TOKEN": "phc_shop", "SHOP_APP": str(SHOPS[app]), "SHOP_SOCKET": str(listener.fileno()), "SHOP_POSTHOG_JS": "0",
            }  # fmt: skip
            command = [sys.executable, "-m", "hogline_instance.demo.shop_server"]
            process = subprocess.Popen(command, env=environ, pass_fds=[listener.fileno()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started.append(process)
        POOL.request("GET", f"{url}/static/shop.css", timeout=60)  # it listens already, and answers when it can
        return process, STORIES[1].browser(instance_url=sink.url, token="phc_shop", shop_url=url)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        process.stdout.close()


PAGES = {"/product/moka-pot": 200, "/cart": 200, "/static/shop.css": 200, "/product/nothing": 404}
VISIT = (  # requests of a page's script, and the status that each gets
    ("POST", "/api/cart", {"product": "moka-pot"}, 200),
    ("POST", "/api/cart", {"product": "hand-grinder"}, 200),
    ("POST", "/api/cart", {"product": "nothing"}, 404),
    ("POST", "/api/sign-in", {"email": "jane@example.com"}, 200),
    ("POST", "/api/gift-card", {"code": "spring"}, 200),
    ("POST", "/api/gift-card", {"code": "birthday"}, 500),
    ("POST", "/api/checkout", {"card": "4242 0000"}, 402),
    ("POST", "/api/checkout", {"card": "offline"}, 503),
    ("POST", "/api/checkout", {"card": "4242 4242"}, 200),
    ("POST", "/api/checkout", {}, 200),
    ("GET", "/api/export", None, 200),
)


@pytest.mark.parametrize("app", APPS)
def test_the_shop_is_the_same_on_every_framework(open_shop, sink, app):
    """Jane's session has all events of her visit.

    They are pages, carts by cookie, the declined card, the bug, the provider's 503, work after the
    response, and a stream.
    """
    process, browser = open_shop(app)
    home = browser.request("GET", "/", {"Accept": "text/html"})
    assert (home.status, b"Moka" in home.data, "Content-Security-Policy" in home.headers) == (200, True, True)
    cookie = home.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    for path, status in PAGES.items():
        assert browser.request("GET", path, {}).status == status, path
    tab = browser.window()
    for method, path, body, status in VISIT:
        assert tab.fetch(method, path, body) == status, (path, body)
    exported = browser.request("GET", "/api/export", {}).data.decode()
    assert exported.startswith("product,price\nmoka-pot,39.9\n")
    assert 400 <= tab.fetch("POST", "/api/cart", {"product": None}) < 500
    process.terminate()  # with events that wait to be sent
    told, _ = process.communicate(timeout=60)
    assert (told, process.returncode in (0, -signal.SIGTERM)) == ("", True)
    _assert_it_is_janes(sink.events, browser, tab, app)


def _assert_it_is_janes(events, browser, tab, app):
    """Everything is of her session, and what her page's script asked for of its window."""
    told = Counter(event.event for event in events)
    assert told == {
        "product viewed": 1, "cart changed": 2, "signed in": 1, "$set": 1, "$feature_flag_called": 1, "gift card entered": 2, "checkout started": 4, "order placed": 2,
        "receipt sent": 2, "catalogue exported": 2, "$exception": 2,
    }  # fmt: skip
    assert {event.properties["$session_id"] for event in events} == {browser.session_id}
    assert [event.event for event in events if event.properties.get("$window_id") != tab.window_id] == [
        "product viewed",
        "catalogue exported",
    ]
    assert [event.properties["items"] for event in events if event.event == "cart changed"] == [1, 2]
    receipts = [event.properties["$request_route"] for event in events if event.event == "receipt sent"]
    assert receipts == ["/api/checkout"] * 2
    failures = {}
    for event in events:
        if event.event == "$exception":
            first = event.properties["$exception_list"][0]
            failures[event.properties["$response_status_code"]] = (first["mechanism"]["handled"], first["type"])
            assert event.properties["$exception_source"] in (
                f"{app}.interceptor",
                "django.middleware",
                "flask.got_request_exception",
            )
    assert 402 not in failures  # a declined card that the shop answers is no error by default
    assert failures[500] == (False, "KeyError")
    assert failures[503][0] is True


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
    """A supervisor sends it, in the middle of starting as well."""
    process = demo()
    read_until(process, "instance")
    time.sleep(0.5)
    process.terminate()
    assert process.wait(60) == 0
    assert not children_of(process.pid)
