"""The pages of rules, limits and source maps, used with forms alone."""

import re
import uuid
from urllib.parse import quote

import pytest

from hogline_instance.errors.source_maps.container import pack
from tests.instance.errors.api import call
from tests.instance.errors.bodies import entry, exception, python_frame, stored, unique
from tests.instance.errors.test_issue_pages import page, post
from tests.instance.errors.test_source_maps import MAP, SCRIPT, crash, upload
from tests.instance.reader import text_of

EVIL = "<script>alert(1)</script>"
EXTRA = {
    "grouping": {"description": "all of the cart", "assignee_type": "role", "assignee": "shop"}, "suppression": {"share": "25"}, "severity": {"severity": "high"},
    "assignment": {"assignee_type": "user", "assignee": "ada"}, "bypass": {},
}  # fmt: skip
EFFECTS = {
    "grouping": "all of the cart, assigned to role shop", "suppression": "drops 25 % of them", "severity": "makes new issues high",
    "assignment": "assigns new issues to user ada", "bypass": "lets them pass the rate limits",
}  # fmt: skip


def rows(*conditions):
    """Return the fields of filter rows."""
    columns = list(zip(*conditions, strict=True))
    names = ("filter_type", "filter_key", "filter_operator", "filter_value")
    return dict(zip(names, (["event"] * len(conditions), *map(list, columns)), strict=True))


def shown_order(reader, kind, words):
    """Return the places of *words* among the rules of a kind."""
    section = page(reader, "/issues/rules").data.decode().partition(f'id="{kind}"')[2].partition("</section>")[0]
    return [section.index(each) for each in words]


@pytest.mark.parametrize("kind", list(EXTRA))
def test_rules_are_added_edited_moved_and_deleted_by_forms(reader, kind):
    """Each kind has its own field; the list says in words what a rule does."""
    path, names = f"/issues/rules/{kind}", [unique("First"), unique("Second")]
    assert 'name="filter_key"' in page(reader, f"{path}/new").data.decode()
    for name in names:
        fields = rows(("$exception_types", "exact", name), ("$exception_values", "icontains", EVIL))
        made = post(reader, f"{path}/new", group_type="AND", **fields, **EXTRA[kind])
        assert (made.status, made.headers["Location"]) == (303, f"/issues/rules#{kind}"), made.data
    shown = page(reader, "/issues/rules")
    assert f"type equals {names[0]} and message contains {EVIL}" in text_of(shown)
    assert EFFECTS[kind] in text_of(shown)
    assert b"<script>alert" not in shown.data
    rules = {
        each["filters"]["values"][0]["value"][0]: each for each in call(reader, "GET", f"{kind}_rules/")["results"]
    }
    first, second = (rules[name]["id"] for name in names)
    places = shown_order(reader, kind, names)
    assert places == sorted(places)
    assert post(reader, f"{path}/{second}", action="up").status == 303
    places = shown_order(reader, kind, names)
    assert places == sorted(places, reverse=True)
    form = page(reader, f"{path}/{first}").data.decode()
    assert f'value="{names[0]}"' in form
    changed = post(
        reader, f"{path}/{first}", action="save", group_type="OR", **rows(("$lib", "is_set", "")), **EXTRA[kind]
    )
    assert changed.status == 303
    assert call(reader, "GET", f"{kind}_rules/{first}/")["filters"] == {
        "type": "OR", "values": [{"key": "$lib", "type": "event", "operator": "is_set", "value": "is_set"}],
    }  # fmt: skip
    for rule_id in (first, second):
        assert post(reader, f"{path}/{rule_id}", action="delete").status == 303
    assert page(reader, f"{path}/{first}", 404)


def test_a_form_that_cannot_be_saved_comes_back_with_the_reason_and_what_was_entered(reader):
    """Nothing is saved; unknown kinds are 404."""
    empty = post(reader, "/issues/rules/grouping/new", **rows(("", "exact", "")))
    assert (empty.status, "needs a filter" in text_of(empty)) == (400, True)
    given = rows(("$exception_types", "exact", "Kept entry"))
    for share, reason in (("150", "from 0 to 1"), ("some", "from 0 to 1")):
        refused = post(reader, "/issues/rules/suppression/new", share=share, **given)
        assert refused.status == 400
        assert reason in text_of(refused)
        assert b"Kept entry" in refused.data
    refused = post(reader, "/issues/rules/severity/new", severity="mild", **given)
    assert (refused.status, "not a valid choice" in text_of(refused)) == (400, True)
    assert post(reader, "/issues/rules/assignment/new", assignee="", **given).status == 400
    assert post(reader, "/issues/rules/nonsense/new", **given).status == 404
    assert page(reader, "/issues/rules/nonsense/new", 404)
    assert page(reader, f"/issues/rules/grouping/{uuid.uuid4()}", 404)


def test_a_rule_with_nested_groups_is_edited_as_json(reader):
    """Rows cannot show it; what is saved is what the text says."""
    inner = {"type": "OR", "values": [{"key": "a", "value": "1", "operator": "exact"}]}
    filters = {"type": "AND", "values": [inner, {"key": "b", "value": EVIL, "operator": "semver_gt"}]}
    filters["values"][1]["value"] = "1.2.3"
    made = call(reader, "POST", "bypass_rules/", {"filters": filters}, status=201)
    path = f"/issues/rules/bypass/{made['id']}"
    shown = page(reader, path)
    assert b'name="filters"' in shown.data
    assert "(a equals 1) and b semver gt 1.2.3" in text_of(page(reader, "/issues/rules"))
    assert post(reader, path, action="save", filters="{").status == 400
    assert post(reader, path, action="save", filters='{"type": "OR", "values": [1]}').status == 400
    assert post(reader, path, action="save", filters='{"type": "OR", "values": []}').status == 303
    assert call(reader, "GET", f"bypass_rules/{made['id']}/")["filters"] == {"type": "OR", "values": []}
    post(reader, path, action="delete")


def test_limits_are_saved_and_emptied_by_a_form(reader):
    """An empty field is no limit; a wrong one changes nothing."""
    saved = post(
        reader, "/issues/limits", name="rate_limit", project_rate_limit_value="1000000", per_issue_rate_limit_value=""
    )
    assert saved.headers["Location"] == "/issues/rules#rate_limit"
    assert call(reader, "GET", "rate_limit_config/")["project_rate_limit_value"] == 1_000_000
    assert b'value="1000000"' in page(reader, "/issues/rules").data
    refused = post(reader, "/issues/limits", name="rate_limit", project_rate_limit_value="few")
    assert (refused.status, "must be a number" in text_of(refused)) == (400, True)
    assert post(reader, "/issues/limits", name="else").status == 400
    post(reader, "/issues/limits", name="rate_limit", project_rate_limit_value="")
    assert call(reader, "GET", "rate_limit_config/")["project_rate_limit_value"] is None
    post(reader, "/issues/limits", name="spike_detection", threshold="500", multiplier="2.5")
    assert call(reader, "GET", "spike_detection_config/")["multiplier"] == 2.5
    post(reader, "/issues/limits", name="spike_detection", multiplier="10")


def test_source_maps_are_listed_with_their_release_and_use_and_deleted(reader):
    """A set shows when it was used; a release links to its commit and issues; hosts are names."""
    chunk, version = str(uuid.uuid4()), f"5.{uuid.uuid4().hex[:6]}"
    git = {"git": {"commit_id": "0123abcd4567", "remote_url": "https://github.com/shop/web.git"}}
    release = call(reader, "POST", "releases", {"version": version, "project": EVIL, "metadata": git}, status=201)
    set_id = upload(reader, chunk, pack(SCRIPT, MAP), release["id"])
    before = row_of(reader, chunk)
    assert version in before
    assert "never" in before
    stored(reader, crash(chunk))
    assert "never" not in row_of(reader, chunk)
    shown = page(reader, "/issues/source-maps")
    assert b"https://github.com/shop/web/commit/0123abcd4567" in shown.data
    assert f"/issues?release={quote(version)}".encode() in shown.data
    assert b"<script>alert" not in shown.data
    assert post(reader, f"/issues/source-maps/{set_id}/delete").status == 303
    assert post(reader, f"/issues/source-maps/{set_id}/delete").status == 404
    assert chunk.encode() not in page(reader, "/issues/source-maps?status=valid&offset=0").data
    assert post(reader, "/issues/source-maps/hosts", hosts="CDN.shop.test\r\n\r\nstatic.shop.test").status == 303
    assert call(reader, "GET", "source_map_config/") == {"hosts": ["cdn.shop.test", "static.shop.test"]}
    refused = post(reader, "/issues/source-maps/hosts", hosts=f"https://cdn.shop.test/{EVIL}")
    assert (refused.status, "without a path" in text_of(refused)) == (400, True)
    assert b"<script>alert" not in refused.data
    post(reader, "/issues/source-maps/hosts", hosts="")


def row_of(reader, chunk):
    """Return the words of the row of a symbol set."""
    found = re.search(rf"<tr><td><code>{chunk}.*?</tr>", page(reader, "/issues/source-maps").data.decode(), re.DOTALL)
    return found[0]


def test_a_rule_made_on_the_page_acts_on_exceptions(reader):
    """The form's rule groups two mistakes."""
    kind = unique()
    post(reader, "/issues/rules/grouping/new", **rows(("$exception_types", "exact", kind)))
    found = stored(reader, *[exception(entry(kind, "v", [python_frame(name)])) for name in ("a", "b")])
    assert found[0]["$exception_issue_id"] == found[1]["$exception_issue_id"]
    [rule] = call(reader, "GET", "grouping_rules/")["results"]
    post(reader, f"/issues/rules/grouping/{rule['id']}", action="delete")
    for path in ("/issues", "/issues/rules", "/issues/source-maps"):
        tabs = page(reader, path).data.decode().partition('class="tabs"')[2].partition("</nav>")[0]
        assert f'href="{path}" aria-current="page"' in tabs
        assert tabs.count("aria-current") == 1
