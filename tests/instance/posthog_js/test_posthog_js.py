"""The paths that posthog-js loads: its remote config, its scripts, and the lists that it polls."""

import json

import pytest
import urllib3

from tests.instance.reader import WAIT_S, Reader

POOL = urllib3.PoolManager(retries=False, timeout=WAIT_S)


def ask(reader, path, method="GET", **how):
    return POOL.request(method, reader.url + path, redirect=False, **how)


def test_the_browsers_configuration_comes_as_json_and_as_a_script(reader):
    """The config offers gzip-js, has a boolean opt-out, and no key for surveys.

    Rules `no-surveys-key` and `boolean-autocapture-opt-out`: `false` would load the surveys'
    script."""
    answer = ask(reader, f"/array/{reader.token}/config")
    config = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert "gzip-js" in config["supportedCompression"]
    assert config["autocapture_opt_out"] is False
    assert config["token"] == reader.token
    assert config["analytics"] == {"endpoint": "/i/v0/e/"}
    assert "surveys" not in config
    script = ask(reader, f"/array/{reader.token}/config.js", headers={"Origin": "https://shop.example"})
    assert script.headers["content-type"].startswith("application/javascript")
    assert script.headers["access-control-allow-origin"] == "https://shop.example"
    literal = script.data.decode().split("{config:", 1)[1].rsplit(",siteApps", 1)[0]
    assert json.loads(literal) == config


def test_a_token_in_the_script_can_only_be_a_token(reader):
    """No part of a URL becomes script."""
    assert ask(reader, "/array/%22%5D%3Balert(1)%2F%2F/config.js").status == 404


@pytest.mark.parametrize(
    ("path", "empty"),
    [
        ("/api/surveys/", {"surveys": []}),
        ("/api/web_experiments", {"experiments": []}),
        ("/api/product_tours", {"product_tours": []}),
    ],
)
def test_the_lists_that_sdks_poll_are_empty(reader, path, empty):
    """After a 404 they would retry every second."""
    assert ask(reader, f"{path}?token=phc_x").json() == empty


@pytest.mark.parametrize("path", ["/array/x/other", "/flags/other", "/api/surveys/responses", "/api/feature_flag/x"])
def test_other_paths_below_those_of_sdks_are_404_as_text_that_a_page_of_any_origin_may_read(reader, path):
    """An SDK gets an error that it can read, not a page and not a CORS failure."""
    answer = ask(reader, path, headers={"Origin": "https://shop.example"})
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


def test_without_posthog_js_a_script_is_404_with_the_way_to_have_it(reader):
    """posthog-js works without its optional features."""
    answer = ask(reader, "/static/array.js")
    assert answer.status == 404
    assert b"--posthog-js" in answer.data


def test_scripts_come_from_the_package_of_that_version_and_from_nowhere_else(serve, tmp_path):
    """Scripts have the right MIME type; another version gets 404, and no path leaves the folder.

    Rules `versioned-scripts` and `script-mime-type`."""
    dist = tmp_path / "posthog-js" / "dist"
    dist.mkdir(parents=True)
    (dist / "array.js").write_text("array()")
    (dist / "recorder.js").write_text("recorder()")
    (dist / "secret.txt").write_text("secret")
    (tmp_path / "posthog-js" / "package.json").write_text('{"version": "1.2.3"}')
    (tmp_path / "posthog-js" / "outside.js").write_text("outside()")
    served = serve(None, "--posthog-js", str(dist))
    reader = Reader(served.url, served.token, served.key)
    for path in ("/static/array.js", "/static/1.2.3/array.js", "/static/array.js?v=1.2.3"):
        answer = ask(reader, path, headers={"Origin": "https://shop.example"})
        assert (answer.status, answer.data) == (200, b"array()")
        assert answer.headers["content-type"].startswith("application/javascript")
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    preloaded = ask(reader, f"/array/{reader.token}/array.js").data.decode()
    assert preloaded.endswith("array()")
    assert reader.token in preloaded
    for path in (
        "/static/9.9.9/array.js", "/static/absent.js", "/static/secret.txt", "/static/..%2foutside.js", "/static/../outside.js",
        "/static/%2e%2e/outside.js", "/static/1.2.3/..%2F..%2Foutside.js",
    ):  # fmt: skip
        assert ask(reader, path).status == 404, path
