"""One project never sees another's data: every registered route of the API and the pages is called
beside a project that is full of canary values.

The routes are read from the program, so a new feature's are covered from its first day. A path
parameter that is not in `EXAMPLES` fails `test_every_path_parameter_has_an_example`: add the value
that it has in the other project. A route that answers for the whole instance needs its reason in
`SHARED`.
"""

import itertools
import json
import re
import subprocess
import sys
import uuid

import pytest
import urllib3

from hogline_instance.features import FEATURES
from tests.instance.projects.calls import call, new_project, post_form
from tests.instance.reader import Reader, dollars, event

CANARY = "canary-7f3a"

SHARED = {
    "/": "the live page, which holds no event before the stream begins",
    "/_health": "says that the process runs",
    "/_ready": "says what waits in the process",
    "/favicon.ico": "a file of the package",
    "/ui/static/{name}": "files of the package",
    "/login": "signs a person in",
    "/logout": "signs a person out",
    "/openapi.json": "describes the routes",
    "/api/{path}": "answers that there is no such endpoint",
    "/api/users/@me": "the user of all projects",
    "/api/personal_api_keys/@current": "the key itself",
    "/api/organizations": "lists the projects that the key may see",
    "/api/organizations/{organization_id}": "lists the projects that the key may see",
    "/api/organizations/{organization_id}/projects": "lists the projects that the key may see",
    "/api/projects": "lists the projects that the key may see",
    "/projects": "lists all projects, between which a visitor chooses",
    "/projects/{project_id}": "the project's own page, opened from that list",
    "/projects/{project_id}/open": "chooses the project",
    "/projects/{project_id}/keys": "makes a key of that project",
    "/projects/{project_id}/keys/{key_id}/delete": "deletes a key of that project",
    "/projects/{project_id}/delete": "deletes that project",
}
"""Paths that do not read one project's data, each with what it does."""

EXAMPLES = {
    "organization_id": ("organization",),
    "project_id": ("project",),
    "uuid": ("event",),
    "session_id": ("session",),
    "kind": ("kind",),
    "issue_id": ("issue",),
    "fingerprint": ("fingerprint",),
    "rule_id": ("rule", "other"),
    "release_id": ("other",),
    "hash_id": ("other",),
    "set_id": ("other",),
    "symbol_set_id": ("other",),
    "frame_id": ("other",),
    "raw_id": ("other",),
    "upload_id": ("other",),
    "user_id": ("other",),
    "person_id": ("person", "distinct_id"),
    "distinct_id": ("distinct_id",),
    "group_type_index": ("number",),
    "group_key": ("canary",),
    "cohort_id": ("cohort",),
    "definition_id": ("event_definition", "property_definition"),
    "flag_id": ("flag",),
    "flag_key": ("canary",),
    "number": ("number",),
    "feature_id": ("feature",),
    "change_id": ("change",),
    "alert_id": ("alert",),
    "delivery_id": ("delivery",),
    "key": ("canary",),
    "token": ("token",),
    "id": ("person", "cohort", "flag", "issue", "rule", "other"),
}
"""For each path parameter, the kinds of ids of the other project to try."""

QUERIES = (
    "", f"search={CANARY}", f"distinct_id={CANARY}-person", f"session_id={CANARY}-session", f"email={CANARY}@example.com",
    f"key=secret&value={CANARY[:6]}", f"key=email&value={CANARY[:6]}", f"event_name={CANARY}+event&key=secret",
    f"group_type_index=0&group_key={CANARY}&id={CANARY}",
)  # fmt: skip


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    """The routes that the program registers."""
    command = [sys.executable, "-m", "tests.instance.projects.routes", str(tmp_path_factory.mktemp("routes") / "data")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    # Older versions of FastAPI show the converter of a parameter: `{path:path}`.
    return [route | {"path": re.sub(r":\w+}", "}", route["path"])} for route in found]


@pytest.fixture(scope="module")
def shared(instance):
    """A client of the shared instance for all tests of this module."""
    return Reader(instance.url, instance.token, instance.key)


@pytest.fixture(scope="module")
def projects(shared):
    """A project of ours, one with canaries of every kind that a client can make, and its ids."""
    _, mine = new_project(shared, "mine")
    record, theirs = new_project(shared, f"{CANARY} project", app_urls=[f"https://{CANARY}.example"])
    mine.send(event("seen", distinct_id="mine-person", **dollars(session_id="mine-session")))
    mine.wait_for(1, event="seen")
    return mine, theirs, {**plant(shared, theirs), "token": record["api_token"]}


def plant(reader, theirs):
    """Make canaries in the other project, and return its ids by their kind."""
    person = f"{CANARY}-person"
    session_id = f"{CANARY}-session"
    properties = {"secret": CANARY, "$set": {"email": f"{CANARY}@example.com", "name": CANARY}}
    chain = [{"type": f"{CANARY}Error", "value": CANARY}]
    base = f"/api/projects/{theirs.id}"
    hook = {"name": CANARY, "kind": "webhook", "url": f"https://{CANARY}.example/"}
    assert call(reader, "POST", f"{base}/error_tracking/alerts/", hook).status == 201
    events = [
        event(f"{CANARY} event", distinct_id=person, **properties, **dollars(session_id=session_id)),
        event("$identify", distinct_id=person, **{**properties, "$anon_distinct_id": f"{CANARY}-anon"}),
        event(
            "$groupidentify",
            distinct_id=person,
            **dollars(group_type=CANARY, group_key=CANARY, group_set={"name": CANARY}),
        ),
        event("$exception", distinct_id=person, **dollars(session_id=session_id, exception_list=chain)),
    ]
    theirs.send(*events)
    theirs.wait_for(len(events))
    for path, body in (
        ("/cohorts/", {"name": CANARY, "is_static": True}),
        ("/feature_flags/", {"key": CANARY, "name": CANARY, "filters": {"groups": [{"rollout_percentage": 100}]}}),
    ):
        made = call(reader, "POST", base + path, body)
        assert made.status == 201, made.data
    flag = made.json()["id"]
    condition = {"properties": [], "rollout_percentage": 1, "description": CANARY}
    change = {"operation": "add_release_condition", "value": {"groups": [condition]}}
    for path, body in (
        ("/early_access_feature/", {"name": CANARY, "stage": "beta", "feature_flag_id": flag}),
        ("/scheduled_changes/", {"record_id": str(flag), "model_name": "FeatureFlag", "payload": change, "scheduled_at": "2099-01-01T00:00:00Z"}),
    ):  # fmt: skip
        made = call(reader, "POST", base + path, body)
        assert made.status == 201, made.data
    ids = {
        "event": events[0]["uuid"], "session": session_id, "distinct_id": person, "canary": CANARY, "number": "0",
        "kind": "ErrorTrackingQuery", "organization": "@current", "other": str(uuid.uuid4()),
    }  # fmt: skip
    for kind, path in (
        ("person", "persons"), ("issue", "error_tracking/issues"), ("cohort", "cohorts"), ("flag", "feature_flags"),
        ("event_definition", "event_definitions"), ("property_definition", "property_definitions"),
        ("alert", "error_tracking/alerts"), ("delivery", "error_tracking/alerts/deliveries"),
        ("feature", "early_access_feature"), ("change", "scheduled_changes"),
    ):  # fmt: skip
        listed = call(reader, "GET", f"{base}/{path}/")
        results = listed.json().get("results") if listed.status == 200 else None
        ids[kind] = str(results[0]["id"]) if results else ids["other"]
    fingerprints = call(reader, "GET", f"{base}/error_tracking/fingerprints/")
    found = fingerprints.json()["results"] if fingerprints.status == 200 else []
    ids["fingerprint"] = found[0]["fingerprint"] if found else ids["other"]
    return ids


def parameters(path):
    """Return the names of a path's parameters."""
    return [name.partition(":")[0] for name in re.findall(r"\{([^}]+)\}", path)]


def filled(path, project_id, ids):
    """Return *path* with our project's id and each combination of the other project's ids."""
    known = {**ids, "project": str(project_id)}
    choices = [[known.get(kind, ids["other"]) for kind in EXAMPLES[name]] for name in parameters(path)]
    for values in itertools.product(*choices):
        following = iter(values)
        yield re.sub(r"\{[^}]+\}", lambda _match, following=following: next(following), path)


def cases(routes, feature):
    """Return one route for each handler of *feature*."""
    found = {}
    for route in routes:
        if route["feature"] == feature and route["path"] not in SHARED and not route["streams"]:
            found.setdefault((route["method"], route["handler"], len(parameters(route["path"]))), route)
    return found.values()


def bodies(ids):
    """Return bodies that name ids of the other project in the fields that endpoints know."""
    person = ids["person"]
    yield {}
    yield {
        "name": "renamed", "key": "renamed", "value": "x", "$unset": "email", "status": "resolved", "deleted": True, "ids": [person, ids["issue"]],
        "distinct_ids": [ids["distinct_id"]], "person_ids": [person], "person_id": person, "group_type_index": 0, "group_key": CANARY,
    }  # fmt: skip
    yield {
        "query": {
            "kind": "ErrorTrackingQuery",
            "orderBy": "last_seen",
            "dateRange": {"date_from": "-7d"},
            "status": "all",
        }
    }


def leaks(answer, sent):
    """Return the canaries of a response that its request did not name itself."""
    text = answer.data.decode("utf-8", "replace")
    if CANARY not in sent:
        return [line[:300] for line in text.splitlines() if CANARY in line]
    # A request's own words come back in errors, form fields and links: look at the results alone.
    try:
        body = json.loads(text)
    except ValueError:
        return re.findall(rf"{CANARY}(?:Error| project|-anon|\.example)", text)
    results = body.get("results", []) if isinstance(body, dict) else body
    return [json.dumps(results)[:300]] if answer.status == 200 and CANARY in json.dumps(results) else []


def responses(reader, mine, method, path, ids):
    """Yield each request's own text with its response."""
    cookie = {"Cookie": f"hogline_project={mine.id}"}
    if method == "GET":
        for query in QUERIES:
            yield path + query, reader.get(f"{path}?{query}" if query else path, headers=cookie)
    elif path.startswith("/api/"):
        for body in bodies(ids):
            yield path + json.dumps(body), call(reader, method, path, body)
    else:
        yield path, post_form(reader, path, {"name": "renamed"}, **cookie)


def test_every_path_parameter_has_an_example(routes):
    """A new route is covered when the test knows what its parameters are in the other project."""
    missing = {
        name: route["path"]
        for route in routes
        if route["path"] not in SHARED
        for name in parameters(route["path"])
        if name not in EXAMPLES
    }
    assert not missing, "add to EXAMPLES"


def test_the_list_of_shared_paths_is_of_today(routes):
    """Each of them is registered, and nothing else is left out."""
    assert set(SHARED) <= {route["path"] for route in routes}
    features = {feature.name for feature in FEATURES} | {"web", "app"}
    assert {route["feature"] for route in routes if route["path"] not in SHARED} <= features


@pytest.mark.parametrize("feature", [*(feature.name for feature in FEATURES), "web", "app"])
def test_no_route_answers_with_another_projects_data(shared, projects, routes, feature):
    """With the other project's ids in path, query and body, its values never come back."""
    mine, _, ids = projects
    found = []
    for route in cases(routes, feature):
        if route["method"] == "DELETE" and route["path"].endswith("/{project_id}"):
            continue  # the other cases need our project
        for path in filled(route["path"], mine.id, ids):
            for sent, answer in responses(shared, mine, route["method"], path, ids):
                if answer.status >= 500 or leaks(answer, sent):
                    found.append((route["method"], sent, answer.status, leaks(answer, sent) or answer.data[:300]))
    assert not found


@pytest.mark.parametrize("feature", [*(feature.name for feature in FEATURES), "web"])
def test_a_key_of_one_project_is_refused_in_another(shared, projects, routes, feature):
    """Every route of the API answers 403 to a key that is limited to our project."""
    mine, theirs, ids = projects
    page = post_form(shared, f"/projects/{mine.id}/keys", {"label": "limited", "scopes": "*", "limited": "on"})
    key = re.search(r"phx_\w+", page.data.decode())[0]
    found = []
    for route in cases(routes, feature):
        if "{project_id}" not in route["path"] or not route["path"].startswith("/api/"):
            continue
        path = next(filled(route["path"], theirs.id, ids))
        answer = call(shared, route["method"], path, None if route["method"] == "GET" else {"query": {}}, key=key)
        if answer.status not in {403, 405}:  # 405: the route exists to refuse everybody
            found.append((route["method"], path, answer.status, answer.data[:200]))
    assert not found


def test_streams_are_of_one_project(shared, projects, routes):
    """A live stream with a backlog holds our events and none of the other project's."""
    mine, _, ids = projects
    paths = {path for route in routes if route["streams"] for path in filled(route["path"], mine.id, ids)}
    assert paths
    for path in paths:
        answer = shared.pool.request(
            "GET", f"{shared.url}{path}?backlog=50", preload_content=False, timeout=urllib3.Timeout(connect=10, read=2),
            headers={"Authorization": f"Bearer {shared.key}", "Cookie": f"hogline_project={mine.id}"},
        )  # fmt: skip
        text = b""
        try:
            for chunk in answer.stream(4096):
                text += chunk
        except urllib3.exceptions.ReadTimeoutError:
            pass
        answer.close()
        assert b"mine-person" in text, path
        assert CANARY.encode() not in text, path


def test_what_browsers_ask_for_is_of_the_tokens_project(shared, projects):
    """Early access features, flags and definitions, which are no routes of the API."""
    mine, theirs, ids = projects
    for project, has_canary in ((mine, False), (theirs, True)):
        # Another test calls every route, also the one that replaces our token.
        token = call(shared, "GET", f"/api/projects/{project.id}/").json()["api_token"]
        body = {"token": token, "distinct_id": ids["distinct_id"], "groups": {CANARY: CANARY}}
        for method, path in (
            ("GET", f"/api/early_access_features/?token={token}"),
            ("POST", "/flags/?v=2"),
            ("GET", f"/flags/definitions?token={token}&send_cohorts"),
        ):
            answer = call(shared, method, path, body if method == "POST" else None)
            assert answer.status == 200, answer.data
            assert (CANARY in answer.data.decode()) is has_canary, path


def test_the_other_project_is_as_it_was(shared, projects):
    """After every route was called with its ids, the canaries are still there."""
    _, theirs, ids = projects
    assert call(shared, "GET", f"/api/projects/{theirs.id}/").json()["name"] == f"{CANARY} project"
    assert len(theirs.events()) == 4
    for kind, path in (
        ("cohort", "cohorts"),
        ("flag", "feature_flags"),
        ("person", "persons"),
        ("issue", "error_tracking/issues"),
        ("alert", "error_tracking/alerts"),
        ("feature", "early_access_feature"),
        ("change", "scheduled_changes"),
    ):
        if ids[kind] != ids["other"]:
            answer = call(shared, "GET", f"/api/projects/{theirs.id}/{path}/{ids[kind]}/")
            assert answer.status == 200, (path, answer.data)
            assert CANARY in answer.data.decode(), path
            assert answer.json().get("deleted") in {None, False}, path
