"""Make alerts and exceptions, and wait for what the log says."""

import uuid

from tests.instance.errors.api import call, until
from tests.instance.errors.bodies import entry, exception, python_frame, stored, unique


def make(client, kind="webhook", base="/api/projects/@current/error_tracking", **fields):
    """Create an alert, and return its record."""
    body = {"name": f"alert {uuid.uuid4().hex[:6]}", "kind": kind, **fields}
    return call(client, "POST", "alerts/", body, status=201, base=base)


def only_for(kind):
    """Return filters for one type of exception, so that other tests' issues do not match."""
    return {"type": "AND", "values": [{"key": "$exception_types", "operator": "exact", "value": [kind]}]}


def fail(client, kind, value="no funds", **properties):
    """Send an exception of this kind, and return the id of its issue."""
    [found] = stored(client, exception(entry(kind, value, [python_frame(f"fn_{kind}")]), **properties))
    return found["$exception_issue_id"]


def log(client, alert, count=1, status=None):
    """Wait for *count* deliveries of an alert (in this state), and return them, oldest first."""

    def listed():
        wanted = f"alert_id={alert['id']}" + (f"&status={status}" if status else "")
        results = call(client, "GET", f"alerts/deliveries/?{wanted}")["results"]
        return results[::-1] if len(results) >= count else None

    return until(listed)


__all__ = ["call", "entry", "exception", "fail", "log", "make", "only_for", "python_frame", "stored", "unique", "until"]
