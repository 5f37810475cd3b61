"""Calls of the flags' API and of `/flags/`, for the tests of this folder."""

import json
import uuid

FLAGS = "/api/projects/@current/feature_flags/"


def call(reader, method, path, body=None, *, key=..., headers=None):
    """Return (status, body) of one call with the reader's personal key; JSON is decoded."""
    sent = {"Content-Type": "application/json", **(headers or {})}
    key = reader.key if key is ... else key
    if key:
        sent["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    answer = reader.pool.request(method, reader.url + path, body=data, headers=sent, redirect=False)
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    return answer.status, json.loads(answer.data) if answer.data and is_json else answer.data.decode()


def create(reader, key=None, /, *, groups=None, **fields):
    """Create a flag with a key of its own, and return its record."""
    filters = {"groups": groups if groups is not None else [{"properties": [], "rollout_percentage": 100}]}
    filters |= fields.pop("filters", {})
    body = {"key": key or f"flag-{uuid.uuid4().hex[:12]}", "filters": filters, **fields}
    status, record = call(reader, "POST", FLAGS, body)
    assert status == 201, record
    return record


def change(reader, record, **fields):
    """Change a flag, and return its record."""
    status, changed = call(reader, "PATCH", f"{FLAGS}{record['id']}/", fields)
    assert status == 200, changed
    return changed


def evaluate(reader, distinct_id="ada", *, query="?v=2", headers=None, **body):
    """Return the answer of `/flags/`."""
    status, answer = call(
        reader,
        "POST",
        f"/flags/{query}",
        {"token": reader.token, "distinct_id": distinct_id, **body},
        key=None,
        headers=headers,
    )
    assert status == 200, answer
    return answer


def value(reader, record, distinct_id="ada", **body):
    """Return one flag's value; None if the answer lacks it."""
    found = evaluate(reader, distinct_id, flag_keys=[record["key"]], **body)["flags"].get(record["key"])
    return found if found is None else found["variant"] or found["enabled"]
