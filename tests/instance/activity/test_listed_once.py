"""An event is listed once, even if it was resent with other times or names."""

import uuid
from datetime import UTC, datetime, timedelta

from tests.instance.reader import dollars, event


def listed(reader, **query):
    """Return the uuids of all pages, in order."""
    found, url = [], "/api/projects/@current/events/"
    parameters = {"limit": 7, **query}
    for _ in range(100):
        answer = reader.get(url, **parameters)
        assert answer.status == 200, answer.data
        page = answer.json()
        found += [one["uuid"] for one in page["results"]]
        if page["next"] is None:
            return found
        url, parameters = page["next"], {}
    raise AssertionError("no end after 100 pages")


def test_copies_at_other_times_and_under_other_names_are_one_event(reader):
    """This holds over all pages, across midnight, and for each filter that either copy matches."""
    session = str(uuid.uuid4())
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    others = [
        event(f"n{number % 3}", at=midnight, after_s=number - 20, **dollars(session_id=session)) for number in range(40)
    ]
    twice = event("first", at=midnight, after_s=-10, **dollars(session_id=session))
    reader.send(*others, twice)
    reader.wait_for(41, session_id=session)
    later = {**twice, "event": "second", "timestamp": (midnight + timedelta(seconds=15)).isoformat()}
    reader.send(later, {**twice, "timestamp": (midnight + timedelta(days=-40)).isoformat()})
    reader.send(mark := event("mark", **dollars(session_id=f"{session}-mark")))
    reader.wait_for(1, session_id=f"{session}-mark")
    assert mark
    uuids = listed(reader, session_id=session)
    assert sorted(uuids) == sorted(one["uuid"] for one in [*others, twice])
    assert listed(reader, session_id=session, event="first") == [twice["uuid"]]
    assert listed(reader, session_id=session, event="second") == []
    assert reader.get(f"/api/projects/@current/events/{twice['uuid']}").json()["event"] == "first"
