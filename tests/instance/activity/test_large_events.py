"""Lists of large events are short: a page, an answer of the API and a session hold a bounded number
of bytes.
"""

import uuid

from tests.instance.reader import dollars, event


def test_lists_of_large_events_are_read_in_shorter_pages(reader):
    """Forty events of 900 KB: each answer stays below 20 MB, and following `next` finds every event
    once.
    """
    session = str(uuid.uuid4())
    sent = [
        event(f"large{number}", after_s=number / 10, **dollars(session_id=session), text="x" * 900_000)
        for number in range(40)
    ]
    for one in sent:
        reader.send(one)
    url, query, found, sizes = "/api/projects/@current/events/", {"limit": 100, "session_id": session}, [], []
    for _ in range(60):
        answer = reader.get(url, **query)
        assert answer.status == 200, answer.data
        sizes.append(len(answer.data))
        found += [one["event"] for one in answer.json()["results"]]
        url, query = answer.json()["next"], {}
        if url is None:
            if len(found) >= 40:
                break
            url, query, found = "/api/projects/@current/events/", {"limit": 100, "session_id": session}, []
    assert sorted(found) == sorted(one["event"] for one in sent)
    assert max(sizes) < 20_000_000
    parts, after = [], None
    for _ in range(60):
        part = reader.get(f"/api/projects/@current/sessions/{session}", **({"after": after} if after else {}))
        assert len(part.data) < 20_000_000
        parts += [entry["event"]["event"] for entry in part.json()["entries"]]
        after = part.json()["next"]
        if after is None:
            break
    assert parts == [one["event"] for one in sent]
    for page in ("/", "/events", f"/session/{session}"):
        answer = reader.get(page, key=None)
        assert answer.status == 200
        assert len(answer.data) < 2_000_000
