"""`hogline doctor` against a real instance and a real app: each thing that can stand between them
is named, with what to do.
"""

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor
from tests.support.instances import start_instance
from tests.support.serving import serving_asgi

ORIGIN = "https://shop.example"
TRACING = ["x-posthog-session-id", "x-posthog-window-id", "x-posthog-distinct-id"]


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    served = start_instance(tmp_path_factory.mktemp("doctor") / "data")
    yield served
    served.stop()


def examined(*arguments, **environ):
    """Return the doctor's exit status and its findings by subject."""
    ours = ("HOGLINE_", "POSTHOG_", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    run = subprocess.run(
        [sys.executable, "-m", "hogline.cli", "doctor", "--json", *arguments],
        capture_output=True, text=True, timeout=100, check=False, env={**clean, **environ},
    )  # fmt: skip
    assert run.stdout, run.stderr
    return run.returncode, {finding["subject"]: finding for finding in json.loads(run.stdout)}


@contextmanager
def shop(instance, sink, allowed=TRACING, interceptor=True, **options):
    posthog = PostHog(instance.token, host=instance.url, flush_interval=0.02)
    app = FastAPI()
    if interceptor:
        app.add_middleware(PostHogInterceptor, client=posthog, **options)
    app.add_middleware(CORSMiddleware, allow_origins=[ORIGIN], allow_headers=allowed)

    @app.get("/")
    async def front():
        posthog.capture("front page seen")

    with serving_asgi(app, posthog, sink, proxy_headers=False) as site:
        yield f"http://127.0.0.1:{site.port}/"
    posthog.shutdown(5)


def test_all_is_well(instance, sink):
    """The checks cover key, host, name, connection, clock and threads; an event sent and seen
    again; an app's CORS, interceptor and proxies.
    """
    with shop(instance, sink, trusted_proxies=0) as url:
        status, found = examined(
            "--token", instance.token, "--host", instance.url, "--personal-key", instance.key, "--app", url, "--origin", ORIGIN,
        )  # fmt: skip
    assert status == 0
    verdicts = {subject: finding["verdict"] for subject, finding in found.items()}
    assert verdicts == dict.fromkeys(verdicts, "ok"), found
    assert list(verdicts) == [
        "worker model", "threads", "project token", "host", "DNS", "connection", "clock", "delivery", "arrival", "app", "CORS",
        "interceptor", "proxy hops",
    ]  # fmt: skip


def test_settings_come_from_the_environment_as_an_apps_do(instance):
    """A check that is impossible is skipped, and reported as skipped."""
    status, found = examined(HOGLINE_PROJECT_TOKEN=instance.token, HOGLINE_HOST=instance.url)
    assert status == 0
    assert found["delivery"]["verdict"] == "ok"
    assert {name for name, finding in found.items() if finding["verdict"] == "skip"} == {"arrival", "app"}


def test_an_app_that_lets_strangers_choose_and_browsers_wait_is_told(instance, sink):
    """A forged X-Forwarded-For became `$ip`; the preflight does not allow the headers."""
    with shop(instance, sink, allowed=["content-type"]) as url:
        status, found = examined(
            "--token", instance.token, "--host", instance.url, "--personal-key", instance.key, "--app", url, "--origin", ORIGIN,
        )  # fmt: skip
    assert status == 1
    assert "x-posthog-session-id" in found["CORS"]["said"]
    assert found["interceptor"]["verdict"] == "ok"
    assert found["proxy hops"]["verdict"] == "warn"
    assert "trusted_proxies" in found["proxy hops"]["advice"]


def test_an_app_without_the_interceptor_is_found_out(instance, sink):
    """Its event belongs to nobody."""
    with shop(instance, sink, interceptor=False) as url:
        status, found = examined(
            "--token", instance.token, "--host", instance.url, "--personal-key", instance.key, "--app", url, "--wait", "2",
        )  # fmt: skip
    assert status == 1
    assert "no event of that request arrived" in found["interceptor"]["said"]


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "there is none"), ("phx_abcdefghijkl", "is a private key")],
    ids=["none", "personal"],
)
def test_a_token_that_cannot_be_one(instance, token, said):
    """Nothing is sent with it."""
    status, found = examined("--token", token, "--host", instance.url)
    assert status == 1
    assert said in found["project token"]["said"]
    assert "delivery" not in found


def test_a_token_of_another_project(instance):
    """PostHog accepts events of tokens that it does not know; only looking for them tells."""
    arguments = ("--token", "phc_of_another_project", "--host", instance.url)
    status, found = examined(*arguments)
    assert status == 0
    assert "tokens that it does not know" in found["arrival"]["said"]
    status, found = examined(*arguments, "--personal-key", instance.key, "--wait", "2")
    assert status == 1
    assert "cannot be read back" in found["arrival"]["said"]
    assert "same project" in found["arrival"]["advice"]


def test_a_personal_key_that_is_refused(instance):
    """It sends, and cannot look."""
    status, found = examined("--token", instance.token, "--host", instance.url, "--personal-key", "phx_wrong")
    assert status == 1
    assert found["delivery"]["verdict"] == "ok"
    assert "refused (401)" in found["arrival"]["said"]


def test_a_host_that_does_not_exist():
    """The first cause, and nothing after it."""
    status, found = examined("--token", "phc_x", "--host", "https://posthog.invalid")
    assert status == 1
    assert found["DNS"]["verdict"] == "fail"
    assert "connection" not in found


def test_a_port_where_nobody_listens():
    """Refused connections are not retried."""
    status, found = examined("--token", "phc_x", "--host", "http://127.0.0.1:9")
    assert status == 1
    assert "cannot be reached" in found["connection"]["said"]


def test_a_host_that_is_no_url_says_what_was_meant():
    """The message is the client's own."""
    run = subprocess.run(
        [sys.executable, "-m", "hogline.cli", "doctor", "--host", "app.example.com"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "did you mean 'https://app.example.com'?" in run.stderr


@contextmanager
def misdated_server(tls=None):
    """A server that accepts everything, an hour in the past."""

    class Handler(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp=None):
            import time

            return super().date_time_string(time.time() - 3600)

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, *args):
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_a_clock_that_is_wrong():
    """An hour is more than a network takes."""
    with misdated_server() as port:
        status, found = examined("--token", "phc_x", "--host", f"http://127.0.0.1:{port}")
    assert status == 0
    assert found["clock"]["verdict"] == "warn"
    assert "ahead of the server's" in found["clock"]["said"]


def test_a_certificate_of_an_authority_of_ones_own(tmp_path):
    """Untrusted, until the environment names the authority."""
    import ssl

    import trustme

    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(str(trusted := Path(tmp_path) / "authority.pem"))
    with misdated_server(tls) as port:
        arguments = ("--token", "phc_x", "--host", f"https://localhost:{port}")
        status, found = examined(*arguments)
        assert status == 1
        assert "not trusted" in found["connection"]["said"]
        assert "SSL_CERT_FILE" in found["connection"]["advice"]
        status, found = examined(*arguments, SSL_CERT_FILE=str(trusted))
    assert status == 0
    assert found["connection"]["said"].startswith("TLSv1.")
    assert found["delivery"]["verdict"] == "ok"


def last_line(*arguments):
    run = subprocess.run(
        [sys.executable, "-m", "hogline.cli", "doctor", *arguments], capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    return run.returncode, (run.stdout or run.stderr).splitlines()[-1]


def test_an_app_that_does_not_answer_fails_whatever_else_is_asked(instance):
    """Without a personal key or an origin, too."""
    arguments = ("--token", instance.token, "--host", instance.url, "--app", "http://127.0.0.1:9/x")
    status, found = examined(*arguments)
    assert (status, found["app"]["verdict"]) == (1, "fail")
    assert "does not answer" in found["app"]["said"]
    assert not {"CORS", "interceptor"} & set(found)
    assert last_line(*arguments) == (1, "1 failed")


def test_an_app_that_answers_an_error_or_a_redirect_is_told(instance, sink):
    """A URL that is not there would never capture anything."""
    with shop(instance, sink) as url:
        status, found = examined("--token", instance.token, "--host", instance.url, "--app", f"{url}nowhere")
    assert status == 1
    assert "answers 404" in found["app"]["said"]


@pytest.mark.parametrize("app", ["shop.main:app", "shop", "127.0.0.1:8000", "ftp://shop.example/"])
def test_what_is_no_url_is_refused(app):
    """gunicorn's and uvicorn's users type a module's path."""
    status, said = last_line("--token", "phc_x", "--app", app)
    assert status == 2
    assert f"argument --app: {app!r} is no URL such as http://127.0.0.1:8000/checkout" in said


def test_checks_that_were_skipped_are_not_well(instance):
    """The last line counts them."""
    arguments = ("--token", instance.token, "--host", instance.url)
    assert last_line(*arguments) == (0, "nothing failed, 2 skipped")
    status, said = last_line(*arguments, "--personal-key", instance.key)
    assert (status, said) == (0, "nothing failed, 1 skipped")


@pytest.mark.parametrize(
    ("code", "body"), [(200, b"[1]"), (200, b'{"detail": "x"}'), (200, b"<html>"), (404, b"no such page")]
)
def test_an_answer_that_is_not_understood_is_named(code, body):
    """Its status and its beginning, not our own error."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(code, body)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(200, b"{}")

        def answer(self, code, body):
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        status, found = examined("--token", "phc_x", "--host", url, "--personal-key", "phx_x", "--wait", "2")
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    assert status == 1
    assert f"answered {code} with {body.decode()!r}" in found["arrival"]["said"]


def test_a_person_reads_lines():
    """A verdict, a subject, what was found; below it what to do; the sum at the end."""
    run = subprocess.run(
        [sys.executable, "-m", "hogline.cli", "doctor", "--token", "phx_secret", "--host", "http://127.0.0.1:9"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    lines = run.stdout.splitlines()
    [token] = [number for number, line in enumerate(lines) if "project token" in line and line.startswith(" fail")]
    assert lines[token + 1].strip().startswith("-> use the project's token")
    assert lines[-1] == "2 failed"
    assert "secret" not in run.stdout.replace("phx_secr...", "")
