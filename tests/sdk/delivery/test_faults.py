"""Faults of a real network cost no more than the delivery page says."""

import fcntl
import shutil
import socket
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from hogline import PostHog
from tests.support import faults
from tests.support.clients import quick_client
from tests.support.faults import Faults

NAMES = [f"e{n}" for n in range(5)]
PASSING = [
    faults.reset_at_once,
    faults.reset_in_body,
    faults.close_before_answer,
    faults.hang,
    faults.garbage,
    faults.cut_status,
    faults.endless_drip,
]


@pytest.fixture
def network(sink, monkeypatch):
    """Make clients that reach the sink through a faulty server.

    Everything is stopped at the end.
    """
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    open_things = []

    def connect(*script, tls=None, **options):
        server = Faults(sink.url, *script, tls=tls)
        client = quick_client(**{"host": server.url, "flush_interval": 30.0, "timeout": 1.0} | options)
        open_things.extend([server, client])
        return client, server

    yield connect
    for thing in reversed(open_things):
        thing.shutdown(0) if isinstance(thing, PostHog) else thing.stop()


def fill(client):
    for name in NAMES:
        client.capture(name, distinct_id="u")


def arrived(sink):
    return [event.event for event in sink.events]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.__name__)
def test_trouble_that_passes_within_the_retries_loses_nothing(network, sink, fault):
    """Twice in a row, then the server is well: every event arrives, once, in order."""
    client, server = network(fault, fault)
    fill(client)
    assert client.flush(60)
    assert arrived(sink) == NAMES
    stats = client.stats()
    assert (stats.sent, stats.retried, dict(stats.dropped)) == (5, 2, {})
    assert server.connections == 3


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.__name__)
def test_flush_and_shutdown_keep_their_deadlines_in_any_trouble(network, sink, fault):
    """Trouble without end costs the events, counted, and never the caller's time."""
    client, _ = network(*[fault] * 50, max_retries=50, timeout=30.0)
    fill(client)
    begun_s = time.monotonic()
    assert client.flush(0.3) is False
    assert client.stats().waiting == 5
    assert client.shutdown(0.3) is False
    assert time.monotonic() - begun_s < 5
    stats = client.stats()
    assert (stats.waiting, dict(stats.dropped)) == (0, {"shutdown": 5})
    assert arrived(sink) == []


@pytest.fixture
def troubled(network, sink, tls, request):
    """Make a client whose server is in trouble without end."""

    def connect(trouble, **options):
        options = {"max_retries": 50, "timeout": 30.0} | options
        if isinstance(trouble, tuple):
            status, headers = trouble
            headers = {name: value(sink) if callable(value) else value for name, value in headers.items()}
            sink.answer(status, headers=headers, times=99)
            return network(**options)[0]
        if trouble == "untrusted":
            return network(tls=tls, **options)[0]
        if trouble == "unknown name":
            return network(host="http://nobody.invalid", **options)[0]
        with socket.create_server(("127.0.0.1", 0)) as placeholder:
            return network(host=f"http://127.0.0.1:{placeholder.getsockname()[1]}", **options)[0]

    return connect


def is_unlocked(path):
    """Return whether no client holds a file of the spool."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


WITHOUT_END = {
    "refused": "refused", "unknown name": "unknown name", "untrusted": "untrusted", "500": (500, {}), "503": (503, {}), "408": (408, {}),
    "429 for 60 s": (429, {"Retry-After": "60"}),
    "429 until a date": (429, {"Retry-After": lambda _: format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)}),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["v0", "v1"])
@pytest.mark.parametrize("trouble", WITHOUT_END)
def test_a_server_in_trouble_costs_no_more_time_than_was_given(troubled, trouble, mode):
    """Refused, not found, not trusted, failing, asking for patience: flush() and shutdown() return
    in time.
    """
    client = troubled(WITHOUT_END[trouble], capture_mode=mode)
    fill(client)
    begun_s = time.monotonic()
    assert client.flush(0.3) is False
    assert client.shutdown(0.3) is False
    assert time.monotonic() - begun_s < 5
    stats = client.stats()
    assert (stats.sent, stats.waiting, dict(stats.dropped)) == (0, 0, {"shutdown": 5})


@pytest.mark.parametrize("trouble", [*WITHOUT_END, *(fault.__name__ for fault in PASSING)])
def test_with_a_spool_no_trouble_loses_anything(troubled, network, sink, tmp_path, trouble):
    """A later client delivers the event once, in order, when the server has recovered."""
    folder = tmp_path / "spool"
    faulty = {fault.__name__: fault for fault in PASSING}.get(trouble)
    # The wait after the first request outlasts the test: none that is on its way then arrives when
    # the server is well.
    options = {"spool_dir": folder, "first_backoff_s": 60.0}
    client = network(*[faulty] * 50, **options)[0] if faulty else troubled(WITHOUT_END[trouble], **options)
    fill(client)
    assert client.shutdown(0.3) is False
    assert (client.stats().spooled, dict(client.stats().dropped)) == (5, {})
    sink.clear()
    # The folder of another host's events, since this test's servers are on ports of their own.
    [old] = [path for path in folder.iterdir() if path.is_dir()]
    sink.wait_until(lambda: all(map(is_unlocked, old.glob("*.spool"))))  # the request has ended
    later, _ = network(spool_dir=folder)
    later.capture("later", distinct_id="u")
    [new] = [path for path in folder.iterdir() if path.is_dir() and path != old]
    for path in old.glob("*.spool*"):
        path.rename(new / path.name)
    assert later.flush(30)
    assert arrived(sink) == [*NAMES, "later"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_final_answer_is_loud_and_takes_no_time(network, sink, status, caplog):
    """One request, one line with the answer, in the ledger."""
    sink.answer(status, body=b"no such thing")
    client, _ = network()
    fill(client)
    assert client.flush(10)
    assert len(sink.requests) == 1
    assert dict(client.stats().dropped) == {"rejected": 5}
    assert f"{status} no such thing" in caplog.text


def test_three_500s_in_a_row_and_three_seconds_of_refused_connections_lose_nothing(network, sink):
    """This holds with the default options."""
    sink.answer(500, times=3)
    client, _ = network(first_backoff_s=1.0)
    fill(client)
    assert client.flush(60)
    assert arrived(sink) == NAMES
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    other, _ = network(host=f"http://127.0.0.1:{port}", first_backoff_s=1.0)
    begun_s = time.monotonic()
    other.capture("late", distinct_id="u")
    other.flush(0)
    time.sleep(max(0.0, begun_s + 3 - time.monotonic()))
    faulty = Faults(sink.url, port=port)
    assert other.flush(60)
    faulty.stop()
    assert arrived(sink) == [*NAMES, "late"]


@pytest.mark.parametrize("fault", [faults.cut_body, faults.flood, faults.drip], ids=lambda fault: fault.__name__)
def test_a_status_counts_however_its_body_ends(network, sink, fault):
    """The server said that it has the batch: it is not sent again, and the next batch is not
    confused by the rest.
    """
    client, _ = network(fault, timeout=20.0)
    fill(client)
    assert client.flush(30)
    assert (client.stats().sent, client.stats().retried) == (5, 0)
    client.capture("next", distinct_id="u")
    assert client.flush(30)
    assert arrived(sink) == [*NAMES, "next"]
    assert client.stats().retried == 0


def test_a_204_is_success(network, sink):
    """posthog-python sends it again until its retries are used up."""
    sink.answer(204)
    client, _ = network()
    fill(client)
    assert client.flush()
    assert (len(sink.requests), client.stats().sent) == (1, 5)


def test_two_500s_and_a_200_deliver_once(network, sink):
    """Over one connection: an error that was answered is no reason to leave it."""
    sink.answer(500, times=2)
    client, server = network()
    fill(client)
    assert client.flush(30)
    assert arrived(sink) == NAMES
    assert server.connections == 1


def test_a_stalled_batch_never_makes_memory_grow(network, sink):
    """Events that arrive meanwhile are bounded by the queue, refused beyond it, and counted."""
    client, server = network(faults.hang, max_queue_size=20, timeout=30.0)
    client.capture("stalled", distinct_id="u")
    client.flush(0)
    sink.wait_until(lambda: server.connections == 1)
    for n in range(50):
        client.capture(f"later {n}", distinct_id="u")
    stats = client.stats()
    assert (stats.accepted, stats.waiting, dict(stats.dropped)) == (51, 21, {"queue_full": 30})


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for localhost that no authority has signed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on PATH to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "key.pem", "-out", "certificate.pem", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder / "certificate.pem"


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


def test_a_server_that_cannot_prove_who_it_is_gets_nothing(network, sink, tls):
    """The batch is given up and counted, and the reason is in the ledger."""
    client, _ = network(tls=tls, max_retries=1)
    fill(client)
    assert client.flush(30)
    assert sink.requests == []
    stats = client.stats()
    assert dict(stats.dropped) == {"retries_exhausted": 5}
    assert "certificate" in stats.last_error.lower()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_an_authority_from_the_environment_is_trusted(network, sink, tls, certificate, monkeypatch, variable):
    """Companies with authorities of their own set it for every Python program."""
    monkeypatch.setenv(variable, str(certificate))
    client, _ = network(tls=tls)
    fill(client)
    assert client.flush(30)
    assert arrived(sink) == NAMES


def test_a_redirect_out_of_encryption_is_not_followed(network, sink, tls, certificate, monkeypatch):
    """Events never leave TLS because an answer said so.

    They are counted as rejected with the redirect's own status.
    """
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    errors = []
    sink.answer(302, headers={"Location": f"{sink.url}/batch/"})
    client, _ = network(tls=tls, on_error=lambda error, events: errors.append(error))
    fill(client)
    assert client.flush(30)
    assert len(sink.requests) == 1
    assert dict(client.stats().dropped) == {"rejected": 5}
    assert [error.status for error in errors] == [302]
    assert "not followed" in client.stats().last_error


@pytest.mark.parametrize("form", ["http://me:p%40ss@{}", "{}"], ids=["with a password", "without a scheme"])
def test_a_proxy_from_the_environment_is_used(network, sink, monkeypatch, form):
    """The proxy sees the whole address, and its own password."""
    monkeypatch.setenv("HTTP_PROXY", form.format(sink.url.removeprefix("http://")))
    client, _ = network(host="http://hogline.invalid")
    fill(client)
    assert client.flush(30)
    [request] = sink.requests
    assert request.path == "http://hogline.invalid/batch/"
    assert request.headers.get("proxy-authorization") == ("Basic bWU6cEBzcw==" if "me:" in form else None)


def test_a_proxy_that_cannot_be_used_is_trouble_like_any_other(network, sink, tmp_path, monkeypatch):
    """The spool keeps the events, and what is set right later is used."""
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    client, _ = network(host="http://hogline.invalid", spool_dir=tmp_path, max_retries=0)
    fill(client)
    assert client.flush(20) is False
    stats = client.stats()
    assert (stats.spooled, dict(stats.dropped)) == (5, {})
    assert "socks5h" in stats.last_error
    monkeypatch.setenv("ALL_PROXY", sink.url)
    assert client.flush(20)
    assert arrived(sink) == NAMES


def test_no_proxy_names_hosts_to_reach_directly(network, sink, monkeypatch):
    """The names may have a port or none."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    client, server = network(max_retries=0)
    monkeypatch.setenv("NO_PROXY", server.url.removeprefix("http://"))
    fill(client)
    assert client.flush(30)
    assert arrived(sink) == NAMES
