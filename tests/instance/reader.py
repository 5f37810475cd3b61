"""A client of an instance: it sends events as an SDK would, and reads them back through the API."""

import json
import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import quote, urlencode

import urllib3

WAIT_S = 30.0


class Reader:
    """Talks to the instance at *url* with its project *token* and personal *key*."""

    def __init__(self, url, token, key):
        self.url, self.token, self.key = url.rstrip("/"), token, key
        self.pool = urllib3.PoolManager(retries=False, timeout=WAIT_S)

    def send(self, *events, body=None):
        """Post *events*, or a prepared *body*, to /batch/; an acknowledged event will be stored."""
        data = body if body is not None else json.dumps({"api_key": self.token, "batch": events}).encode()
        answer = self.pool.request(
            "POST", f"{self.url}/batch/", body=data, headers={"Content-Type": "application/json"}
        )
        assert answer.status == 200, answer.data

    def get(self, path, *, key=..., headers=None, **query):
        """Return the response of GET *path*."""
        sent = dict(headers or {})
        key = self.key if key is ... else key
        if key:
            sent["Authorization"] = f"Bearer {key}"
        url = path if path.startswith("http") else self.url + path
        return self.pool.request("GET", url + (f"?{urlencode(query)}" if query else ""), headers=sent, redirect=False)

    def events(self, **query):
        """Return the results of the events endpoint."""
        answer = self.get("/api/projects/@current/events/", limit=1000, **query)
        assert answer.status == 200, answer.data
        return answer.json()["results"]

    def wait_for(self, count, **query):
        """Wait until *count* events match, and return them."""
        deadline = time.monotonic() + WAIT_S
        while len(found := self.events(**query)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} events after {WAIT_S} s"
            time.sleep(0.05)
        return found

    def session(self, session_id):
        """Return the merged timeline of a session."""
        answer = self.get(f"/api/projects/@current/sessions/{quote(session_id, safe='')}")
        assert answer.status == 200, answer.data
        return answer.json()


def event(name="thing", *, distinct_id="ada", at=None, after_s=0.0, **properties):
    """Return an event as an SDK sends it; *after_s* seconds after *at* (now)."""
    moment = (at or datetime.now(UTC)) + timedelta(seconds=after_s)
    return {
        "uuid": str(uuid.uuid4()),
        "event": name,
        "distinct_id": distinct_id,
        "timestamp": moment.isoformat(),
        "properties": properties,
    }


def dollars(**properties):
    """Return *properties* with the `$` that Python keywords can't have."""
    return {f"${name}": value for name, value in properties.items()}


def text_of(answer):
    """Return the visible words of a page."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.data.decode())))
