"""Calls of the management API, and a second project on a shared instance."""

import json
import uuid

from tests.instance.reader import Reader


def call(reader, method, path, body=None, *, key=..., headers=None):
    """Send *body* as JSON with the reader's key, and return the response."""
    sent = {"Authorization": f"Bearer {reader.key if key is ... else key}", **(headers or {})}
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    return reader.pool.request(method, reader.url + path, body=data, headers=sent, redirect=False)


def post_form(reader, path, fields, **headers):
    """Post a form to a page, as a browser does, and return the response."""
    return reader.pool.request(
        "POST", reader.url + path, fields=fields, encode_multipart=False, headers=headers, redirect=False
    )


def new_project(reader, name=None, **settings):
    """Create a project, and return its record and a reader of its own."""
    answer = call(reader, "POST", "/api/projects/", {"name": name or f"project-{uuid.uuid4()}", **settings})
    assert answer.status == 201, answer.data
    record = answer.json()
    return record, ProjectReader(reader, record)


class ProjectReader(Reader):
    """A reader of one project among several, by its id."""

    def __init__(self, reader, record):
        super().__init__(reader.url, record["api_token"], reader.key)
        self.id = record["id"]

    def events(self, **query):
        """Return the results of the project's events endpoint."""
        answer = self.get(f"/api/projects/{self.id}/events/", limit=1000, **query)
        assert answer.status == 200, answer.data
        return answer.json()["results"]
