"""posthog-js in a real Chromium against the instance: flags before and after a login, reloads, early
access, and the people who are stored afterwards.
"""

import uuid

import pytest

from tests.instance.flags.api import call, change, create
from tests.support.browser import ASKS_LOOPBACK, launch_browser
from tests.support.tools import npm_package

pytestmark = [pytest.mark.needs_browser, pytest.mark.needs_node]
PERSONS = "/api/projects/@current/persons/"
FEATURES = "/api/projects/@current/early_access_feature/"
PAGE = '<!doctype html><title>Shop</title><link rel="icon" href="data:,"><script src="/shop/array.js"></script>'
START = """
({ token, host, options }) => {
  window.seen = []
  posthog.init(token, {
    api_host: host, request_batching: false, opt_out_useragent_filter: true, autocapture: false,
    capture_pageview: false, disable_session_recording: true, person_profiles: 'identified_only', ...options,
  })
  posthog.onFeatureFlags((names, values) => seen.push(values))
}
"""


@pytest.fixture(scope="module")
def browser():
    """One Chromium for the tests of this module."""
    with launch_browser(ASKS_LOOPBACK) as made:
        yield made


@pytest.fixture
def shop(browser, reader):
    """Open pages of a visitor with a fresh profile, on another origin than the instance's."""
    context = browser.new_context()
    origin = reader.url.replace("127.0.0.1", "localhost")
    script = npm_package("posthog-js") / "dist" / "array.js"
    context.route(f"{origin}/shop", lambda route: route.fulfill(content_type="text/html", body=PAGE))
    context.route(f"{origin}/shop/array.js", lambda route: route.fulfill(path=script))

    def open_page(*, loaded=True, **options):
        page = context.new_page()
        page.goto(f"{origin}/shop")
        page.evaluate(START, {"token": reader.token, "host": reader.url, "options": options})
        if loaded:
            page.wait_for_function("seen.length > 0")
        return page

    yield open_page
    context.close()


def reloaded(page, script):
    """Run *script*, and wait until the flags came again."""
    before = page.evaluate("seen.length")
    page.evaluate(script)
    page.wait_for_function(f"seen.length > {before}")


def flag(page, key):
    return page.evaluate(f"posthog.getFeatureFlag('{key}')")


def person_of(reader, distinct_id):
    """Return the person of a distinct id, as the API shows them."""
    _, page = call(reader, "GET", f"{PERSONS}?distinct_id={distinct_id}")
    [person] = page["results"]
    return person


def test_flags_follow_a_login_and_the_browsers_ids_become_one_person(reader, shop):
    """A property that `identify` sets decides at once; a flag with continuity keeps its answer."""
    plan = [{"properties": [{"key": "plan", "value": "pro", "operator": "exact", "type": "person"}]}]
    pro = create(reader, groups=plan)["key"]
    halves = [
        create(reader, groups=[{"properties": [], "rollout_percentage": 50}], ensure_experience_continuity=True)["key"]
        for _ in range(4)
    ]
    page, jane = shop(), f"jane-{uuid.uuid4()}"
    visitor = page.evaluate("posthog.get_distinct_id()")
    before = [flag(page, key) for key in halves]
    assert flag(page, pro) is False
    reloaded(page, f"posthog.identify('{jane}', {{ plan: 'pro' }})")
    assert flag(page, pro) is True
    reader.wait_for(1, event="$identify", distinct_id=jane)
    reloaded(page, "posthog.reloadFeatureFlags()")
    assert [flag(page, key) for key in halves] == before
    person = person_of(reader, jane)
    assert set(person["distinct_ids"]) == {visitor, jane}
    assert person["is_identified"] is True
    assert person["properties"]["plan"] == "pro"
    # The browser may forget its anonymous id; the answer is kept on the instance.
    other = shop(persistence="memory", bootstrap={"distinctID": jane, "isIdentifiedID": True})
    assert [flag(other, key) for key in halves] == before


def test_a_flag_is_called_once_for_each_answer(reader, shop):
    """However often the page reads it; `reloadFeatureFlags` brings a change, which is called again."""
    made = create(reader)
    page = shop()
    for _ in range(3):
        assert flag(page, made["key"]) is True
    change(reader, made, active=True, filters={"groups": [{"properties": [], "rollout_percentage": 0}]})
    reloaded(page, "posthog.reloadFeatureFlags()")
    for _ in range(3):
        assert flag(page, made["key"]) is False
    page.evaluate("posthog.capture('the last')")
    visitor = page.evaluate("posthog.get_distinct_id()")
    reader.wait_for(1, event="the last", distinct_id=visitor)
    called = reader.events(event="$feature_flag_called", distinct_id=visitor)
    answers = [
        (one["properties"]["$feature_flag_response"], one["properties"]["$feature_flag_version"]) for one in called
    ]
    assert sorted(answers) == [(False, 2), (True, 1)]
    assert {one["properties"]["$feature_flag_id"] for one in called} == {made["id"]}


def test_bootstrapped_flags_hold_until_the_instance_answers(reader, shop):
    """The page has an answer before any request; then the instance's own one takes its place."""
    variants = [{"key": "red", "rollout_percentage": 100}, {"key": "blue", "rollout_percentage": 0}]
    made = create(reader, filters={"multivariate": {"variants": variants}, "payloads": {"red": '{"shade": 1}'}})["key"]
    bootstrap = {
        "distinctID": f"ada-{uuid.uuid4()}",
        "featureFlags": {made: "blue"},
        "featureFlagPayloads": {made: {"shade": 0}},
    }
    page = shop(loaded=False, bootstrap=bootstrap, advanced_disable_feature_flags_on_first_load=True)
    assert (flag(page, made), page.evaluate(f"posthog.getFeatureFlagPayload('{made}')")) == ("blue", {"shade": 0})
    reloaded(page, "posthog.reloadFeatureFlags()")
    assert (flag(page, made), page.evaluate(f"posthog.getFeatureFlagPayload('{made}')")) == ("red", {"shade": 1})
    called = reader.wait_for(2, event="$feature_flag_called", distinct_id=bootstrap["distinctID"])
    assert sorted(one["properties"]["$used_bootstrap_value"] for one in called) == [False, True]
    assert {one["properties"]["$feature_flag_bootstrapped_response"] for one in called} == {"blue"}


def test_a_visitor_enrols_in_an_early_access_feature_and_leaves_it(reader, shop):
    """The list, the enrolment on the page at once, and on the instance for the next page."""
    _, feature = call(reader, "POST", FEATURES, {"name": f"Preview {uuid.uuid4()}", "stage": "beta"})
    key = feature["feature_flag"]["key"]
    page, jane = shop(), f"jane-{uuid.uuid4()}"
    # Of an anonymous visitor the instance stores no person, so no enrolment either.
    reloaded(page, f"posthog.identify('{jane}')")
    listed = page.evaluate("new Promise((done) => posthog.getEarlyAccessFeatures(done, true))")
    assert [one["stage"] for one in listed if one["flagKey"] == key] == ["beta"]
    assert flag(page, key) is False
    for count, enrols in enumerate((True, False), start=1):
        reloaded(page, f"posthog.updateEarlyAccessFeatureEnrollment('{key}', {str(enrols).lower()}, 'beta')")
        assert flag(page, key) is enrols
        reader.wait_for(count, event="$feature_enrollment_update", distinct_id=jane)
        assert person_of(reader, jane)["properties"][f"$feature_enrollment/{key}"] is enrols
        fresh = shop(persistence="memory", bootstrap={"distinctID": jane, "isIdentifiedID": True})
        assert flag(fresh, key) is enrols
