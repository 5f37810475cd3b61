"""Every queue keeps these promises.

Senders, workers and the broker are real, and the tests assert on the events at the sink.

No event left a worker before its end (`flush_interval` is an hour), so all of this is also the
promise of the last flush. Source: docs/internals/frameworks.md#task-queues.
"""

import pytest

from tests.propagation.recording import visitor
from tests.support.behaviours import shows
from tests.support.sink import person_of
from tests.support.site import needs

pytestmark = pytest.mark.timeout(400)  # the first test of a queue starts four processes, the others wait for it
KNOWN_FAILURES = {"broken", "caught", "reused"}


def belongs_to(event, name):
    """Return whether *event* has the ids and the facts of a request of *name*."""
    told = event.properties
    return (event.distinct_id, told.get("$session_id"), told.get("$window_id"), told.get("$user_agent")) == (
        name, f"session-{name}", f"window-{name}", visitor(name)["User-Agent"],
    )  # fmt: skip


@shows("celery-tasks", "other-task-queues")
def test_a_task_runs_in_the_context_of_the_request_that_queued_it(recorded):
    """The task has the three ids, the request's facts, its callback's properties and named tags.

    It runs in another process.
    """
    for label, name in (("a", "alice"), ("b", "bob")):
        event = recorded.note(label)
        assert belongs_to(event, name)
        told = event.properties
        assert (told["$request_method"], told["$request_path"]) == ("GET", f"/send/note/{label}")
        assert told["$current_url"].endswith(f"/send/note/{label}")
        assert (told["$ip"], told["shop"], told["plan"]) == ("127.0.0.1", "north", "pro")
        assert "secret" not in told
        assert told["$task_name"].endswith("note")
        if recorded.has_worker:
            assert told["pid"] != recorded.shop_pid
    assert recorded.note("a").properties["$request_id"] != recorded.note("b").properties["$request_id"]


def test_a_visitor_without_ids_stays_nobody(recorded):
    """On a worker that has just done somebody else's task."""
    event = recorded.note("nobody")
    assert person_of(event) is None
    assert event.properties["$request_path"] == "/send/note/nobody"
    assert not {"$session_id", "$window_id"} & event.properties.keys()


@shows("other-task-queues")
def test_a_task_queued_outside_a_request_starts_empty(recorded):
    """Its context is new (rule `fresh-context`), whatever ran on this worker before."""
    event = recorded.note("bare")
    assert person_of(event) is None
    assert not {"$session_id", "$window_id", "$request_path", "$request_id", "shop"} & event.properties.keys()


def test_a_payload_from_a_sender_without_hogline_works(recorded):
    """It has no header; the task runs, and belongs to nobody."""
    if not recorded.has_worker:
        return
    event = recorded.note("plain")
    assert person_of(event) is None
    assert "$session_id" not in event.properties


def test_a_worker_without_hogline_ignores_our_header(recorded):
    """The task runs as if there was none."""
    if recorded.name in ("apscheduler", "django"):  # no worker of its own; a keyword, as its page says
        return
    event = recorded.note("unread", recorded.without)
    assert person_of(event) is None
    assert "$session_id" not in event.properties


def test_a_task_that_a_task_queued_belongs_to_the_same_visitor(recorded):
    """The line goes on through the worker."""
    assert belongs_to(recorded.note("parent"), "alice")
    assert belongs_to(recorded.note("parent-child"), "alice")
    assert recorded.note("parent-child").properties["$request_path"] == "/send/child/parent"
    assert recorded.note("parent-child").properties["$task_name"].endswith("note")


@shows("celery-tasks", "rq-work-horse")
def test_an_exception_is_captured_once_by_the_final_attempt(recorded):
    """Unhandled, from the task, in the context of the request; before a forked worker ends."""
    [event] = recorded.exceptions("broken")
    assert belongs_to(event, "alice")
    [first, *_] = event.properties["$exception_list"]
    assert (first["type"], first["mechanism"]["type"], first["mechanism"]["handled"]) == ("Mistake", "task", False)
    assert first["stacktrace"]["frames"][-1]["function"] == "broken"
    assert event.properties["$exception_source"] == (
        "celery.task_failure" if recorded.name == "celery" else f"{recorded.name}.task"
    )
    if "retries" in recorded.features:
        assert event.properties.get("$task_attempt", 2) == 2  # some queues do not count


@needs("retries")
def test_every_attempt_is_captured_when_asked_for(recorded):
    """The option `every_attempt`."""
    events = recorded.exceptions("again", recorded.every)
    assert len(events) == 2
    assert all(belongs_to(event, "alice") for event in events)


def test_an_exception_that_was_captured_by_hand_is_one_event(recorded):
    """Marked by the task's own run."""
    [event] = recorded.exceptions("caught")
    assert event.properties["$exception_list"][0]["mechanism"]["handled"] is True


def test_one_instance_raised_by_two_tasks_is_two_events(recorded):
    """Each run deduplicates on its own (rule `deduplicate-per-request`)."""
    assert len(recorded.exceptions("reused")) == 2


def test_control_flow_and_expected_exceptions_are_never_captured(recorded):
    """Retry, Ignore, Reject, what `throws` names, and their kin."""
    captured = {e.properties["$exception_list"][0]["value"] for e in recorded.both if e.event == "$exception"}
    unexpected = [text for text in captured - KNOWN_FAILURES if "control" in text or "expected" in text]
    assert not unexpected
    assert len(captured) == len(KNOWN_FAILURES) + ("late" in recorded.features)


@shows("dramatiq-retries")
@needs("later")
def test_a_scheduled_task_keeps_its_visitor(recorded):
    """Though something without a context puts it into the queue when its time has come."""
    assert belongs_to(recorded.note("later"), "alice")


@needs("chain")
def test_every_link_of_a_chain_keeps_the_visitor(recorded):
    """The second is published when the first has ended."""
    for label in ("chain-1", "chain-2"):
        assert belongs_to(recorded.note(label), "alice")


@needs("group")
def test_every_member_of_a_group_keeps_the_visitor(recorded):
    """Sent together."""
    for label in ("group-1", "group-2"):
        assert belongs_to(recorded.note(label), "alice")


@shows("celery-tasks")
@needs("eager")
def test_an_eager_task_runs_in_a_context_of_its_own_and_gives_the_callers_back(recorded):
    """The sending process runs the task, with the values that a worker would know."""
    inside, after = recorded.note("eager"), next(e for e in recorded.both if e.event == "after eager")
    assert belongs_to(inside, "alice")
    assert inside.properties["pid"] == recorded.shop_pid
    assert "secret" not in inside.properties
    assert belongs_to(after, "alice")
    assert after.properties["secret"] == "stays here"
    assert "$task_name" not in after.properties


@needs("late")
def test_a_task_that_takes_too_long_is_an_exception(recorded):
    """This holds however the queue ends the task."""
    [event] = [e for e in recorded.both if e.event == "$exception" and e.properties["$task_name"].endswith("late")]
    assert belongs_to(event, "alice")


@needs("killed")
def test_the_worker_speaks_for_a_task_that_was_killed(recorded):
    """Once, with the visitor of the request, though the process that knew it is gone."""
    [event] = [e for e in recorded.every if e.properties["$task_name"].endswith("killed")]
    assert belongs_to(event, "alice")
    assert event.properties["$exception_list"][0]["type"] == "TimeLimitExceeded"


def test_nothing_of_ours_failed_on_the_way(recorded):
    """Failures of ours are logged, never raised; here is none."""
    assert "hogline:" not in recorded.log
