"""The server's limits: time of heads and bodies, connections, queries beside monitors, options."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import urllib3

from tests.instance.reader import WAIT_S, Reader
from tests.support.instances import start_instance


def connect(served):
    parts = urllib3.util.parse_url(served.url)
    return socket.create_connection((parts.host, parts.port), timeout=WAIT_S)


@pytest.mark.parametrize(
    "begin",
    [b"", b"GET / HTTP/1.1\r\nX: ", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\nhalf",
     b"POST /batch/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\nhalf",
     b"POST /batch/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
    ids=["nothing", "half a head", "half a form", "half a body", "half of chunks"],
)  # fmt: skip
def test_a_request_that_never_ends_is_closed_in_time(impatient, begin):
    """The client gets a response, whichever part is missing."""
    with connect(impatient) as one:
        one.sendall(begin)
        answer = one.recv(1000)
        assert answer.startswith(b"HTTP/1.1 408"), answer
        while one.recv(1000):
            pass
    assert Reader(impatient.url, impatient.token, impatient.key).get("/_health", key=None).status == 200


def test_connections_have_a_bound_below_the_file_limit(serve):
    """The connection over the limit gets a 503, and the next one is served when another closes."""
    served = serve(environ={"HOGLINE_MAX_CONNECTIONS": "5", "HOGLINE_HEAD_TIMEOUT_S": "30"})
    held = [connect(served) for _ in range(5)]
    time.sleep(0.3)
    with connect(served) as refused:
        assert refused.recv(1000).startswith(b"HTTP/1.1 503")
    for one in held:
        one.close()
    time.sleep(0.3)
    assert Reader(served.url, served.token, served.key).get("/_health", key=None).status == 200


def test_the_file_limit_is_raised_at_the_start(serve):
    """A few hundred visitors would reach a soft limit of 256 files."""
    import resource

    served = serve(preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096)))
    limits = Path(f"/proc/{served.pid}/limits").read_text().splitlines()
    line = next(line for line in limits if line.startswith("Max open files"))
    assert line.split()[3] == "4096"


@pytest.mark.parametrize(
    "path",
    ["/_health", "/_ready", "/", "/events", "/ui/live", "/e/", "/flags/?v=2", "/nothing", "/ui/static/style.css"],
)
def test_head_is_get_without_a_body(reader, path):
    """Monitors and link checkers send HEAD; the live stream ends at once for them."""
    got = reader.pool.request("GET", reader.url + path, redirect=False, preload_content=False)
    got.close()
    asked = reader.pool.request("HEAD", reader.url + path, redirect=False)
    assert asked.data == b""
    assert asked.status == (200 if path == "/e/" else got.status)
    assert (
        asked.headers.get("content-type", "").split(";")[0] == got.headers.get("content-type", "").split(";")[0]
        or path == "/e/"
    )


def test_health_waits_for_no_question(reader):
    """Slow queries occupy all clients of the store, and a monitor still gets a response."""
    ask = threading.Thread
    questions = [ask(target=lambda: reader.get("/events", key=None, search="x" * 900)) for _ in range(30)]
    for one in questions:
        one.start()
    slowest_s = 0.0
    while any(one.is_alive() for one in questions):
        began_s = time.monotonic()
        assert reader.get("/_ready", key=None).status == 200
        slowest_s = max(slowest_s, time.monotonic() - began_s)
    assert slowest_s < 5.0


@pytest.mark.parametrize(
    ("option", "value"),
    [("PORT", "70000"), ("PORT", "-1"), ("FLUSH_INTERVAL_S", "inf"), ("JOURNAL_COMMIT_WINDOW_MS", "inf"), ("QUERY_MAX_S", "nan"),
     ("FLUSH_ROWS", "0"), ("MAX_EVENT_BYTES", "1e9"), ("HEAD_TIMEOUT_S", "-inf"), ("ALLOWED_HOSTS", "http://hog.example")],
)  # fmt: skip
def test_an_option_that_cannot_work_is_refused_with_a_sentence(tmp_path, option, value):
    """The message names the option, the value and what to write instead, without a traceback."""
    import os

    run = subprocess.run(
        [sys.executable, "-m", "hogline.cli", "serve", "--data", str(tmp_path / "data")],
        env={**os.environ, f"HOGLINE_{option}": value}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert option.lower() in run.stderr
    assert value.lstrip("-") in run.stderr
    assert "must be" in run.stderr
    assert "Traceback" not in run.stderr


ELSEWHERE = [
    {"Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_a_page_from_elsewhere_signs_nobody_in_or_out(serve_once, path, headers):
    """It can't use up the owner's attempts: after a hundred posts the password still works."""
    for _ in range(10):
        answer = serve_once.pool.request(
            "POST",
            serve_once.url + path,
            fields={"password": "wrong"},
            encode_multipart=False,
            headers=headers,
            redirect=False,
        )
        assert answer.status == 403
    own = {"Origin": serve_once.url, "Sec-Fetch-Site": "same-origin"}
    answer = serve_once.pool.request(
        "POST",
        f"{serve_once.url}/login",
        fields={"password": "right"},
        encode_multipart=False,
        headers=own,
        redirect=False,
    )
    assert answer.status == 303


def test_with_a_password_only_the_named_hosts_are_answered(serve):
    """Addresses and this machine's names need no entry; without the option any name is answered."""
    password = {"HOGLINE_ADMIN_PASSWORD": "right"}
    named = serve(environ={**password, "HOGLINE_ALLOWED_HOSTS": "Hogline.example, hog.internal"})
    answers = {
        host: urllib3.request("GET", f"{named.url}/login", headers={"Host": host}, retries=False).status
        for host in ("hogline.example", "HOG.internal.:8010", "10.1.2.3:80", "[::1]:8010", "evil.example", "x.hogline.example", "")
    }  # fmt: skip
    assert [host for host, status in answers.items() if status == 200] == list(answers)[:4]
    assert {answers[host] for host in list(answers)[4:]} == {421}
    named.stop()
    anything = serve(named.data_dir, environ=password)
    assert urllib3.request("GET", f"{anything.url}/login", headers={"Host": "any.example"}).status == 200


@pytest.mark.parametrize("path", ["/ui/live?backlog=0", "/", "/api/projects/@current/events/"])
def test_a_page_from_elsewhere_reads_nothing(reader, path):
    """Frames, scripts, fetches and other host names are refused; a followed link is not."""
    for host in ("a7.localhost", "evil.example", "127.0.0.1.evil.example"):
        assert reader.get(path, headers={"Host": host}).status == 421
    for site, mode, dest in (
        ("cross-site", "no-cors", "script"),
        ("cross-site", "cors", "empty"),
        ("same-site", "navigate", "iframe"),
    ):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
        assert reader.get(path, headers=headers).status == 403
    if path == "/":
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert reader.get(path, headers=headers).status == 200


def test_live_readers_have_a_bound(serve):
    """The request over the limit gets a 503 with the option's name."""
    served = serve(environ={"HOGLINE_LIVE_MAX_READERS": "3"})
    pool = urllib3.PoolManager(retries=False, timeout=WAIT_S, maxsize=10)
    held = [pool.request("GET", f"{served.url}/ui/live", preload_content=False) for _ in range(3)]
    assert all(one.read1(10) for one in held)
    refused = pool.request("GET", f"{served.url}/ui/live")
    assert refused.status == 503
    assert b"live_max_readers" in refused.data
    for one in held:
        one.close()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    """An instance that waits half a second for the head of a request, and for its body."""
    served = start_instance(
        tmp_path_factory.mktemp("impatient") / "data",
        environ={"HOGLINE_HEAD_TIMEOUT_S": "0.5", "HOGLINE_BODY_TIMEOUT_S": "0.5"},
    )
    yield served
    served.stop()


@pytest.fixture(scope="module")
def serve_once(tmp_path_factory):
    """An instance with a password."""
    served = start_instance(tmp_path_factory.mktemp("closed") / "data", environ={"HOGLINE_ADMIN_PASSWORD": "right"})
    yield Reader(served.url, served.token, served.key)
    served.stop()
