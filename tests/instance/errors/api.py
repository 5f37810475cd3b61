"""A client of the error tracking API."""

import json
import time

BASE = "/api/projects/@current/error_tracking"


def call(reader, method, path, body=None, *, status=200, key=..., base=BASE):
    """Return the JSON of a call, after checking its status."""
    sent = {"Authorization": f"Bearer {reader.key if key is ... else key}", "Content-Type": "application/json"}
    url = f"{reader.url}{base}/{path}"
    data = None if body is None else json.dumps(body).encode()
    answer = reader.pool.request(method, url, body=data, headers=sent, redirect=False)
    assert answer.status == status, (answer.status, answer.data)
    return answer.json() if answer.data else None


def query(reader, **fields):
    """Return the answer to an ErrorTrackingQuery."""
    body = {"query": {"kind": "ErrorTrackingQuery", "volumeResolution": 10, **fields}}
    return call(reader, "POST", "query/", body, base="/api/environments/@current")


def until(check, timeout_s=20.0):
    """Return the first true result of *check*."""
    deadline = time.monotonic() + timeout_s
    while not (result := check()):
        assert time.monotonic() < deadline, "this did not come true"
        time.sleep(0.05)
    return result
