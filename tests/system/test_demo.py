"""`hogline demo`, which a newcomer runs first, works, says where to look, and leaves nothing
behind.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import urllib3

from hogline_instance.demo import main
from hogline_instance.demo.browser import Browser
from hogline_instance.demo.processes import Instance, listen, start_shop
from hogline_instance.demo.visitors import CHUNK_ID, STORIES
from hogline_instance.errors.source_maps.bundles import find_bundles, inject
from tests.instance.reader import text_of as plain
from tests.support.browser import launch_browser
from tests.support.tools import npm_package, require

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "instance/src/hogline_instance/demo"
SHOPS = {"fastapi": DEMO / "shop_fastapi.py"} | {
    path.stem: path for path in sorted((ROOT / "examples/shop").glob("*.py"))
}
APPS = tuple(SHOPS)
pytestmark = pytest.mark.timeout(240)
STORY = ("product viewed", "order placed", "receipt sent", "catalogue exported", "KeyError", "503")
POOL = urllib3.PoolManager(retries=False, timeout=20)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Start the demo without npm; whatever is left of it is killed at the end."""
    started = []

    def start(*options):
        environ = os.environ | {
            "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
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
            process.terminate()
            process.communicate(timeout=30)
        process.stdout.close()


@pytest.fixture(scope="module")
def told(demo):
    """Start the demo, with posthog-js where npm has it, and return what it says; it goes on."""
    scripts = []
    with contextlib.suppress(pytest.skip.Exception):
        scripts = ["--posthog-js", str(npm_package("posthog-js") / "dist")]
    return read_until(demo(*scripts), "to end the demo.")


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


def shows(url, *wanted):
    """Wait until the page shows all of *wanted*, as a reader sees it, and return its text."""
    deadline = time.monotonic() + 30
    while missing := [text for text in wanted if text not in (shown := plain(POOL.request("GET", url)))]:
        assert time.monotonic() < deadline, (missing, shown)
        time.sleep(0.1)
    return shown


def test_it_says_where_a_session_the_live_events_and_the_shop_are(told):
    """Every page that it names answers with the promised content."""
    shows(url_of(told, "Jane's session"), "jane@example.com", "Window 2", *STORY)
    assert POOL.request("GET", url_of(told, "live events")).status == 200
    shop = POOL.request("GET", url_of(told, "the shop"))
    assert b"Moka" in shop.data
    assert "Content-Security-Policy" in shop.headers


def test_an_issue_came_back_in_the_newer_release(told):
    """Release 1.0 had the bug, the team resolved the issue, and release 2.0 has the bug again."""
    shown = shows(url_of(told, "back again"), "Came back in release 2.0")
    for text in (
        "KeyError", "apply_gift_card hogline_instance/demo/catalogue.py", "unhandled", "500", "First seen in release 1.0",
        "Resolved by API", "Came back in release 2.0", "active came back in 2.0",
    ):  # fmt: skip
        assert text in shown, text
    counted = re.search(r"Releases (1.0|2.0) (\d+) (1.0|2.0) (\d+)", shown)
    assert dict([counted.groups()[:2], counted.groups()[2:]])["1.0"] == "3"


def test_what_the_failed_checkouts_have_in_common_is_the_flag(told):
    """It stands on top, with its share among all checkouts."""
    shown = shows(url_of(told, "a flag's bug"), "customer_name", "ValueError")
    common = shown[shown.index("What they have in common") :]
    assert re.match(r"What they have in common Value Here Usually flag new-checkout test 100 % \d\d %", common), common


def test_the_minified_error_is_shown_at_its_place_in_the_source(told):
    """The demo uploaded the source map; function, file, line and column are those of the source."""
    shown = shows(url_of(told, "minified code"), "Cannot read properties of undefined (reading 'day')")
    for place in ("describe src/slots.js:14:17", "earliestSlot src/slots.js:9:9", "showEstimate src/delivery.js:6:65"):
        assert place in shown, shown
    assert "return `${slot.day}, from ${slot.hour}:00`;" in shown


@pytest.mark.needs_node
def test_the_minified_script_is_what_esbuild_makes_of_its_source(tmp_path):
    """Nobody edits it by hand, and its chunk id is the one that an upload would write."""
    shutil.copytree(DEMO / "bundle" / "src", tmp_path / "src")
    options = ["--bundle", "--minify", "--sourcemap", "--outfile=delivery.min.js", "--log-level=error"]
    build = npm_package("esbuild") / "bin" / "esbuild"
    subprocess.run([str(build), "src/delivery.js", *options], check=True, timeout=60, cwd=tmp_path)
    [bundle] = find_bundles(tmp_path)
    assert inject(bundle).chunk_id == CHUNK_ID
    assert (tmp_path / "delivery.min.js").read_text() == (DEMO / "static" / "delivery.min.js").read_text()
    assert (tmp_path / "delivery.min.js.map").read_text() == (DEMO / "bundle" / "delivery.min.js.map").read_text()


def test_its_visitors_are_people_of_organisations(told):
    """Who signed in is known by the email address, with the events from before."""
    shown = shows(url_of(told, "people"), "jane@example.com identified", "acme.example identified")
    [jane] = re.findall(r"jane@example.com identified jane@example.com \+1 (\d+)", shown)
    assert int(jane) > 10
    shows(url_of(told, "people").replace("/people", "/groups"), "organisation")


@pytest.fixture(scope="module")
def pages():
    """A browser, in which each test has a profile of its own."""
    with launch_browser() as browser:
        yield browser


@pytest.fixture
def shop_url(told, request):
    """The shop whose pages have posthog-js, or one more whose pages have the shop's own script."""
    shop = url_of(told, "the shop")
    home = text_of(shop)
    if request.param in home:
        yield shop
        return
    if request.param == "official.js":
        require("npm")
    keys = {
        "url": url_of(told, "live events").rstrip("/"),
        "project token": re.search(r'data-token="([^"]+)"', home)[1],
        "personal key": "",
    }
    with ExitStack() as stack:
        started = start_shop(stack, listen(0), SHOPS["fastapi"], "2.0", Instance(keys), has_posthog_js=False)
        started.wait()
        yield f"{started.url}/"


def assert_checkout(page, url, *, variant, price):
    """Load the cart again: the server's price and the page's offer are those of *variant*."""
    page.goto(f"{url}cart")
    assert page.locator(".total").inner_text().split() == ["Total", price, "€"]
    page.locator(f"html[data-checkout={variant}]").wait_for()
    assert page.locator(".offer").is_visible() == (variant == "test")


def give_everybody(editor, flag_url, variant):
    """Change the shares of the variants on the flag's page."""
    editor.goto(f"{flag_url}/edit")
    for index, key in enumerate(("control", "test")):
        editor.locator(f"[name=v{index}_rollout]").fill("100" if key == variant else "0")
    editor.locator("button.strong").click()
    editor.wait_for_url(flag_url)


@pytest.mark.needs_browser
@pytest.mark.parametrize("shop_url", ["official.js", "line.js"], indirect=True)
def test_the_shop_follows_the_flag_in_the_browser_and_on_the_server(told, pages, shop_url):
    """Whoever switches it on its page sees the price and the offer change with the next page.

    Both are the same for one person, before and after signing in.
    """
    flag_url = url_of(told, "the flag")
    visitor, editor = pages.new_page(user_agent=STORIES[1].agent), pages.new_page()
    give_everybody(editor, flag_url, "control")
    visitor.goto(f"{shop_url}product/moka-pot")
    visitor.get_by_role("button", name="Add to cart").click()
    visitor.locator("#count", has_text="1").wait_for()
    assert_checkout(visitor, shop_url, variant="control", price="39.90")
    give_everybody(editor, flag_url, "test")
    assert_checkout(visitor, shop_url, variant="test", price="37.90")
    visitor.get_by_role("button", name="Sign in").click()
    visitor.locator("#told", has_text="Hello").wait_for()
    assert_checkout(visitor, shop_url, variant="test", price="37.90")
    editor.get_by_role("button", name="Disable").click()
    editor.get_by_role("button", name="Enable").wait_for()
    assert_checkout(visitor, shop_url, variant="control", price="39.90")
    editor.get_by_role("button", name="Enable").click()
    editor.get_by_role("button", name="Disable").wait_for()
    assert_checkout(visitor, shop_url, variant="test", price="37.90")
    for page in (visitor, editor):
        page.close()


@pytest.mark.needs_browser
@pytest.mark.needs_node
@pytest.mark.parametrize("shop_url", ["official.js"], indirect=True)
def test_the_browsers_bug_is_real(told, pages, shop_url):
    """Whoever clicks the button meets Ada's error: posthog-js sends it, and it is the same issue."""
    visitor = pages.new_page(user_agent=STORIES[1].agent)
    visitor.goto(f"{shop_url}product/moka-pot")
    for number in ("1", "2", "3"):
        visitor.get_by_role("button", name="Add to cart").click()
        visitor.locator("#count", has_text=number).wait_for()
    visitor.goto(f"{shop_url}cart")
    visitor.evaluate("posthog.set_config({opt_out_useragent_filter: true})")  # it takes a headless browser for a bot
    visitor.get_by_role("button", name="Sign in").click()
    visitor.locator("#told", has_text="Hello").wait_for()
    visitor.get_by_role("button", name="When will it arrive?").click()
    shows(url_of(told, "minified code"), "you@example.com")
    visitor.close()


def test_the_shop_is_on_the_framework_that_was_asked_for(demo):
    """With a server of its own, too; nothing but the story is told.

    Ctrl-C ends with status 0 and no process left.
    """
    process = demo("--app", str(SHOPS["sanic"]))
    told = read_until(process, "to end the demo.")
    assert "written with sanic" in told
    assert "Traceback" not in told
    [raw] = re.findall(r'href="(/event/[^"]+)">Raw event', text_of(url_of(told, "back again")))
    instance = url_of(told, "live events")
    assert "sanic.interceptor" in text_of(instance.rstrip("/") + raw)
    assert len(children_of(process.pid)) == 2  # the older release of the shop has ended
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    with pytest.raises(urllib3.exceptions.HTTPError):
        POOL.request("GET", instance)


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
                "SHOP_INSTANCE_URL": sink.url, "SHOP_TOKEN": "phc_shop", "SHOP_APP": str(SHOPS[app]), "SHOP_RELEASE": "2.0", "SHOP_SOCKET": str(listener.fileno()), "SHOP_POSTHOG_JS": "0",
            }  # fmt: skip
            command = [sys.executable, "-m", "hogline_instance.demo.shop_server"]
            process = subprocess.Popen(command, env=environ, pass_fds=[listener.fileno()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started.append(process)
        POOL.request("GET", f"{url}/static/shop.css", timeout=60)  # it listens already, and answers when it can
        return process, STORIES[1].browser(
            partial(Browser, instance_url=sink.url, token="phc_shop", shop_url=url, release="2.0")
        )

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
        "product viewed": 1, "cart changed": 2, "signed in": 1, "$set": 1, "$groupidentify": 1, "$feature_flag_called": 2, "gift card entered": 2, "checkout started": 4, "order placed": 2,
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
            assert (event.properties["$release"], event.properties["$environment"]) == ("2.0", "demo")
            if event.properties["$request_path"] == "/api/checkout":  # its issue says what they have in common
                assert event.properties["$feature/new-checkout"] == "control"
                assert event.properties["$groups"] == {"organisation": "example.com"}
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
