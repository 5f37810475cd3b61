"""The events of the read API: complete pages, filters, and access by personal key only."""

import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.instance.reader import event


@pytest.mark.parametrize("limit", [1, 7, 20, 1000])
def test_paging_gives_every_event_once_even_when_timestamps_tie(reader, limit):
    """Following `next` lists every event once, newest first, for every page size."""
    name = f"tied-{uuid.uuid4()}"
    start = datetime.now(UTC) - timedelta(hours=3)
    sent = [event(name, at=start + timedelta(seconds=index // 9), index=index) for index in range(41)]
    random.Random(limit).shuffle(sent)
    reader.send(*sent)
    reader.wait_for(len(sent), event=name)
    seen, address = [], f"{reader.url}/api/projects/@current/events/?event={name}&limit={limit}"
    for _ in range(len(sent) + 1):
        page = reader.get(address).json()
        assert len(page["results"]) <= limit
        seen += page["results"]
        if (address := page["next"]) is None:
            break
        assert address.startswith(reader.url)
    assert len(seen) == len(sent)
    assert {one["id"] for one in seen} == {one["uuid"] for one in sent}
    stamps = [datetime.fromisoformat(one["timestamp"]) for one in seen]
    assert stamps == sorted(stamps, reverse=True)


def test_events_months_apart_share_one_list(reader):
    """The search widens from the newest day to all of time."""
    name = f"sparse-{uuid.uuid4()}"
    now = datetime.now(UTC)
    reader.send(*(event(name, at=now - timedelta(days=days)) for days in (0, 2, 40, 400)))
    reader.wait_for(4, event=name)
    first = reader.get("/api/projects/1/events/", event=name, limit=3).json()
    assert len(first["results"]) == 3
    rest = reader.get(first["next"]).json()
    assert len(rest["results"]) == 1
    assert rest["next"] is None


def test_filters_choose_by_name_person_session_time_and_text(reader):
    """Filters work alone and together, and a value that looks like SQL is only text."""
    mark = f"mark-{uuid.uuid4()}"
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    sent = [
        event("opened", at=at, distinct_id=f"a-{mark}", **{"$session_id": f"s-{mark}", "note": f"Straße {mark}"}),
        event("closed", at=at, after_s=10, distinct_id=f"a-{mark}", **{"$session_id": f"s-{mark}"}),
        event("closed", at=at, after_s=20, distinct_id=f"b-{mark}", **{"$session_id": f"t-{mark}"}),
    ]
    reader.send(*sent)
    reader.wait_for(3, search=mark)
    ids = [one["uuid"] for one in sent]

    def found(**query):
        return [ids.index(one["id"]) for one in reader.events(**query)]

    assert found(distinct_id=f"a-{mark}") == [1, 0]
    assert found(session_id=f"t-{mark}") == [2]
    assert found(event="closed", session_id=f"s-{mark}") == [1]
    assert found(search=f"STRASSE {mark}") == []
    assert found(search=f"straße {mark}") == [0]
    assert found(search=mark, after="2026-03-01T12:00:00Z") == [2, 1]
    assert found(search=mark, before="2026-03-01T12:00:10") == [0]
    assert found(search=mark, after="2026-03-01T13:00:05+01:00", before="2026-03-01T12:00:15Z") == [1]
    assert found(event="' OR 1=1 --", search=mark) == []


def test_one_event_has_its_exact_properties(reader):
    """A number beyond a float's range, and text of every kind, come back unchanged."""
    number = 123456789012345678901234567890
    sent = event("exact", big=number, text="\u2028 é \U0001f600 <b>", nested={"a": [1, None, True, 1.5]})
    reader.send(sent)
    reader.wait_for(1, event="exact")
    for slash in ("", "/"):
        answer = reader.get(f"/api/projects/@current/events/{sent['uuid']}{slash}")
        assert answer.status == 200
        read = answer.json()
        assert (read["id"], read["event"], read["distinct_id"]) == (sent["uuid"], "exact", "ada")
        assert {name: read["properties"][name] for name in sent["properties"]} == sent["properties"]
        assert datetime.fromisoformat(read["timestamp"]).tzinfo is not None


@pytest.mark.parametrize(
    "path", ["events", "events/", "live", "sessions/x", "events/01a20dcc-41a6-7b36-920a-af34a60d1a4f/"]
)
def test_reading_takes_a_personal_key(reader, path):
    """A missing or wrong key gets 401, a project token a hint, and an unknown project 404, in
    PostHog's form.
    """
    url = f"/api/projects/@current/{path}"
    for key, words in ((None, "not provided"), ("phx_wrong", "does not know"), (reader.token, "project token")):
        answer = reader.get(url, key=key)
        body = answer.json()
        assert answer.status == 401
        assert set(body) == {"type", "code", "detail", "attr"}
        assert body["type"] == "authentication_error"
        assert words in body["detail"]
        assert "WWW-Authenticate" in answer.headers
    answer = reader.get(f"/api/projects/77/{path}")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    assert reader.get(f"/api/projects/nonsense/{path}").status == 404


def test_the_key_may_travel_in_the_query(reader):
    """`?personal_api_key=` works, also in the URL of the next page."""
    assert reader.get("/api/projects/@current/events/", key=None, personal_api_key=reader.key).status == 200


@pytest.mark.parametrize(
    ("attr", "value"),
    [("limit", "0"), ("limit", "1001"), ("limit", "x"), ("after", "yesterday"), ("before", "2026-13-01"), ("cursor", "zz!"),
     ("cursor", "MTIzNDU"), ("event", "x" * 1001)],
)  # fmt: skip
def test_a_bad_parameter_is_named(reader, attr, value):
    """The response is a 400 with the parameter in `attr` and the value in `detail`."""
    answer = reader.get("/api/projects/@current/events/", **{attr: value})
    assert answer.status == 400
    assert answer.json()["type"] == "validation_error"
    assert answer.json()["attr"] == attr


def test_what_does_not_exist_is_a_json_404(reader):
    """Unknown endpoints, events and sessions get a 404 in PostHog's form."""
    for path in (
        "/api/nothing/",
        "/api/projects/1/events/not-a-uuid/",
        f"/api/projects/1/events/{uuid.uuid4()}",
        "/api/projects/1/sessions/none",
    ):
        answer = reader.get(path)
        assert (answer.status, answer.json()["code"]) == (404, "not_found"), path


def test_openapi_describes_every_parameter_and_answer(reader):
    """/openapi.json describes each operation, parameter and error."""
    description = reader.get("/openapi.json").json()
    paths, schemas = description["paths"], description["components"]["schemas"]
    for path in ("events/", "events/{uuid}/", "sessions/{session_id}", "live"):
        operation = paths[f"/api/projects/{{project_id}}/{path}"]["get"]
        assert operation["description"]
        for status in ("401", "403", "404"):
            content = operation["responses"][status]["content"]["application/json"]["schema"]
            assert set(schemas[content["$ref"].rpartition("/")[2]]["required"]) == {"type", "code", "detail", "attr"}
    listed = paths["/api/projects/{project_id}/events/"]["get"]["parameters"]
    assert all(one.get("description") or one["name"] == "project_id" for one in listed)


def test_properties_of_any_depth_that_was_accepted_are_answered(reader):
    """Values as deep as an event may hold, in the event and in its person."""
    deep = 1
    for _ in range(240):
        deep = [deep]
    sent = event("deep", distinct_id=f"deep-{uuid.uuid4()}", deep=deep, **{"$set": {"deep": deep}})
    reader.send(sent)
    [found] = reader.wait_for(1, distinct_id=sent["distinct_id"])
    assert found["properties"]["deep"] == deep
    for path in (f"events/{sent['uuid']}/", f"persons/?distinct_id={sent['distinct_id']}"):
        assert reader.get(f"/api/projects/@current/{path}").status == 200, path
