"""Captured events arrive once, however servers end and fork."""

import signal
from dataclasses import replace

import pytest

from tests.support.behaviours import shows
from tests.support.frameworks import FRAMEWORKS, selected
from tests.support.servers import Server, is_idle, uwsgi_workers
from tests.support.sink import exception_of, names
from tests.support.site import Site, new_rid, visitor

BY_NAME = {framework.name: framework for framework in FRAMEWORKS}
PATIENT = "3600"  # seconds: nothing leaves by itself within a test

ENDINGS = [
    pytest.param(
        framework.name,
        server,
        # waitress leaves SIGTERM to its default, which no Python code survives; Ctrl-C is its
        # ending.
        signal.SIGINT if server == "waitress" else signal.SIGTERM,
        id=f"{framework.name}-{server}",
    )
    for framework in selected()
    for server in framework.servers_for(["sigterm"])
]


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a server whose events wait until something makes them leave."""
    running = []

    def start(framework, server, app=None):
        name = f"{framework}-{server}-{len(running)}.log"
        row = BY_NAME[framework]
        served = replace(row, app=app or row.app)
        running.append(Site.start(served, server, tmp_path / name, FLUSH_INTERVAL_S=PATIENT))
        return running[-1]

    yield start
    for site in running:
        site.stop()


def _end(server: Server, number: int = signal.SIGTERM) -> None:
    server.stop(number)
    assert not server.complaints()


@shows("sigterm-uvicorn", "sigterm-others")
@pytest.mark.parametrize(("framework", "server", "number"), ENDINGS)
def test_what_was_captured_right_before_the_end_arrives(start, framework, server, number):
    """Uvicorn dies of the signal without atexit handlers; the others run them. Exceptions too."""
    site = start(framework, server)
    captured = site.ask("/capture", headers=visitor("alice"))
    failed = site.ask("/error", headers=visitor("alice"))
    assert site.arrived(captured.rid) == []
    _end(site.server, number)
    assert names(site.arrived(captured.rid)) == ["captured"]
    assert [exception_of(event) for event in site.arrived(failed.rid)] == [("ValueError", False, 500)]


@shows("sigterm-uvicorn")
def test_a_project_without_a_lifespan_gets_one(start):
    """Django on uvicorn, wrapped as its page says; both interceptors' exceptions are one event."""
    site = start("django-asgi", "uvicorn", app="django_wrapped")
    captured = site.ask("/capture", headers=visitor("alice"))
    failed = site.ask("/error", headers=visitor("alice"))
    _end(site.server)
    assert names(site.arrived(captured.rid)) == ["captured"]
    assert [exception_of(event) for event in site.arrived(failed.rid)] == [("ValueError", False, 500)]


@shows("sigterm-uvicorn")
@pytest.mark.parametrize("framework", ["fastapi", "asgi"])
def test_two_workers_lose_nothing_at_sigterm(start, framework):
    """Each worker flushes what is its own."""
    site = start(framework, "uvicorn-two")
    rids = [site.ask("/capture").rid for _ in range(20)]
    _end(site.server)
    assert [names(site.arrived(rid)) for rid in rids] == [["captured"]] * len(rids)


@shows("fork-after-import")
def test_a_preloaded_app_sends_from_its_worker_once(start):
    """Gunicorn --preload makes the client, and here an event, before it forks.

    Nothing is lost or doubled.
    """
    site = start("wsgi", "gunicorn-preload")
    answer = site.ask("/capture", headers=visitor("alice"))
    assert site.event(answer).distinct_id == "alice"
    later = site.ask("/capture")
    _end(site.server)
    assert names(site.arrived(later.rid)) == ["captured"]
    assert len(site.sink.events) == 2


@shows("uwsgi-prefork", "sigterm-others")
def test_a_forked_uwsgi_worker_sends_what_its_client_captures(start):
    """Client and app are made before the fork, without lazy-apps, and uWSGI runs no fork hooks."""
    site = start("falcon", "uwsgi")
    assert site.event(site.ask("/capture", headers=visitor("alice"))).distinct_id == "alice"
    later = site.ask("/capture")
    # A worker that is told to end before it is done with its request runs no exit handlers.
    site.sink.wait_until(lambda: all(map(is_idle, uwsgi_workers(site.server.stats_port))))
    _end(site.server)
    assert names(site.arrived(later.rid)) == ["captured"]
    assert len(site.sink.events) == 2


@shows("sigterm-uvicorn")
def test_ctrl_c_is_an_ending_too(start):
    """SIGINT."""
    site = start("fastapi", "uvicorn")
    rid = site.ask("/capture", rid=new_rid()).rid
    _end(site.server, signal.SIGINT)
    assert names(site.arrived(rid)) == ["captured"]
