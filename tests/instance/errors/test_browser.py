"""A bundle made by esbuild, with the official posthog-js, in a real Chromium.

The instance gets the source map, the browser the minified script alone.
"""

import shutil
import subprocess
import threading
import uuid
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.instance.errors.api import call, until
from tests.instance.errors.test_rules import browser_config, dropped, rule
from tests.instance.errors.test_source_maps import places
from tests.support.browser import launch_browser
from tests.support.tools import npm_package

pytestmark = [pytest.mark.needs_browser, pytest.mark.needs_node]
SOURCES = Path(__file__).with_name("bundle") / "src"
ORIGINAL = [
    ("../src/main.js", 9, 9, "pay"), ("../src/main.js", 5, 24, "renderCart"), ("../src/prices.js", 15, 22, "total"),
    ("../src/prices.js", 15, 36, "<anonymous>"), ("../src/prices.js", 4, 10, "priceOf"),
]  # fmt: skip
PAGE = """<!doctype html><html><head><title>Shop</title><link rel="icon" href="data:,">
<script src="/posthog.js"></script></head><body><script>
posthog.init("TOKEN", {api_host: "HOST", opt_out_useragent_filter: true, capture_exceptions: true, disable_compression: true,
  autocapture: false, capture_pageview: false, disable_session_recording: true, request_batching: false,
  loaded: (instance) => instance.identify("VISITOR")});
</script><script src="/BUNDLE"></script></body></html>"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory, instance):
    """Build the bundle, upload its map, and serve the page without the map."""
    from hogline_instance.errors.source_maps.command import sourcemaps

    project = tmp_path_factory.mktemp("shop")
    shutil.copytree(SOURCES, project / "src")
    folder = project / "dist"
    build = npm_package("esbuild") / "bin" / "esbuild"
    options = ["--bundle", "--minify", "--sourcemap", "--outdir=dist", "--entry-names=app.[hash]", "--log-level=error"]
    subprocess.run([str(build), "src/main.js", *options], check=True, timeout=60, cwd=project)
    release = f"9.1-{uuid.uuid4().hex[:8]}"
    options = ["--release", release, "--name", "shop", "--host", instance.url, "--key", instance.key, "--delete-maps"]
    assert sourcemaps(["upload", str(folder), *options]) == 0
    assert not list(folder.glob("*.map"))
    [bundle] = folder.glob("app.*.js")
    scripts = npm_package("posthog-js") / "dist"
    (folder / "posthog.js").write_bytes((scripts / "array.full.js").read_bytes())
    visitor = f"visitor-{uuid.uuid4()}"
    page = PAGE.replace("TOKEN", instance.token).replace("HOST", instance.url).replace("BUNDLE", bundle.name)
    (folder / "index.html").write_text(page.replace("VISITOR", visitor))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", visitor, release
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with launch_browser() as made:
        yield made


def open_page(browser, url):
    """Return the loaded page, and the bodies that it sends."""
    page, sent = browser.new_page(), []
    page.on("request", lambda request: sent.append(request.post_data or "") if request.method == "POST" else None)
    page.goto(url)
    page.wait_for_function(
        "Boolean(window.pay && window.onerror && posthog.persistence.props.$error_tracking_suppression_rules)"
    )
    return page, sent


def throw(page, name):
    """Throw a mistake of the bundle that nobody catches."""
    page.evaluate("name => { setTimeout(() => pay([{name}]), 0) }", name)


def test_a_minified_stack_of_a_real_bundle_gets_file_line_column_and_function(reader, site, browser):
    """posthog-js finds the chunk id that the upload wrote; the event names the release."""
    url, visitor, release = site
    page, _ = open_page(browser, url)
    throw(page, "lamp")
    [found] = reader.wait_for(1, distinct_id=visitor, event="$exception")
    properties = found["properties"]
    assert properties["$exception_list"][0]["value"] == "this item has no sku: lamp"
    assert properties["$exception_list"][0]["mechanism"]["handled"] is False
    # Beside these stand the browser's own frames: the page's call, and Array.map.
    assert [place for place in places(properties) if place[2] is not None][-len(ORIGINAL) :] == ORIGINAL
    crash = properties["$exception_list"][0]["stacktrace"]["frames"][-1]
    assert crash["context_line"].strip() == 'throw new TypeError("this item has no sku: " + item.name);'
    assert [each["version"] for each in properties["$exception_releases"].values()] == [release]
    page.close()


def test_a_suppressed_exception_is_not_even_sent(reader, site, browser):
    """posthog-js applies the rule itself; a rule with sampling is left to the instance."""
    url, visitor, _ = site
    mark = f"sofa-{uuid.uuid4().hex[:8]}"
    matching = {"type": "AND", "values": [{"key": "$exception_values", "value": mark, "operator": "icontains"}]}
    reason = "exceptions suppressed by a rule are dropped"
    with rule(reader, "suppression", filters=matching):
        until(lambda: browser_config(reader)["errorTracking"]["suppressionRules"] == [matching])
        page, sent = open_page(browser, url)
        before = dropped(reader, reason)
        throw(page, mark)
        throw(page, f"other than {mark[::-1]}")
        until(lambda: page.wait_for_timeout(20) or any(mark[::-1] in body for body in sent))
        assert not [body for body in sent if mark in body]
    with rule(reader, "suppression", filters=matching, sampling_rate=0.0):
        until(lambda: browser_config(reader)["errorTracking"]["suppressionRules"] == [])
        page.close()
        page, sent = open_page(browser, url)
        throw(page, mark)
        until(lambda: page.wait_for_timeout(20) or any(mark in body for body in sent))
        until(lambda: [each for each in reader.events(distinct_id=visitor) if mark in str(each["properties"])])
    assert dropped(reader, reason) == before
    assert call(reader, "GET", "suppression_rules/")["count"] == 0
    page.close()
