"""The fixtures `site` and `lone_site`: the frameworks of the table on their servers."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from hogline import PostHog
from tests.support.frameworks import selected
from tests.support.sink import Sink
from tests.support.site import Site, Sites


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes one of our fixtures on every framework that has what it needs: on one
    server, or on all.
    """
    wanted = [name for name in ("site", "lone_site") if name in metafunc.fixturenames]
    if not wanted:
        return
    needed = (*getattr(metafunc.cls, "needs", ()), *getattr(metafunc.function, "needs", ()))
    every = hasattr(metafunc.cls, "on_every_server") or hasattr(metafunc.function, "on_every_server")
    cases = []
    for framework in selected():
        missing = framework.missing()
        marks = [pytest.mark.skip(missing)] if missing else []
        servers = framework.servers_for(needed, every=every)
        cases += [pytest.param((framework, s), id=f"{framework.name}-{s}", marks=marks) for s in servers]
    metafunc.parametrize(wanted[0], cases, indirect=True, scope="session" if wanted[0] == "site" else "class")


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    running = Sites(tmp_path_factory.mktemp("servers"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def site(request: Any, sites: Sites) -> Site:
    """One framework on one real server.

    It is session-wide, so that tests of the same server run one after the other.
    """
    return sites.get(*request.param)


@pytest.fixture(scope="class")
def lone_site(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One framework on a real server for one class of tests, the last of which may kill it.

    Its log may hold the server's reports of these tests.
    """
    alone = Site.start(*request.param, tmp_path_factory.mktemp("alone") / "server.log")
    yield alone
    alone.stop()


@pytest.fixture
def posthog(sink: Sink) -> Iterator[PostHog]:
    """A client that sends to the sink soon after each event.

    It replaces the plugin's fixture, which only records.
    """
    client = PostHog("phc_test", host=sink.url, flush_interval=0.02)
    yield client
    client.shutdown(10)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Django project with users and sessions in a database. A process can be one project only."""
    pytest.importorskip("django")
    from django.core.management import call_command
    from django.db import connections

    from tests.interceptors.apps import django_project

    folder = tmp_path_factory.mktemp("django")
    django_project.configure(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "shop.sqlite3"}},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    )
    call_command("migrate", verbosity=0)
    yield
    gc.collect()
    connections.close_all()
