"""The logging handler: an exception in a record is one event, however many others saw it."""

import asyncio
import json
import logging
import logging.handlers
import os
import queue
import subprocess
import sys
import threading

import pytest
from flask import Flask

from hogline import identify_context, new_context
from hogline.integrations.logging import PostHogHandler
from hogline.interceptors.flask import PostHogInterceptor as FlaskInterceptor
from hogline.interceptors.wsgi import PostHogInterceptor
from hogline.testing import RecordingPostHog, recording

log = logging.getLogger("warehouse.orders")


@pytest.fixture
def client():
    made = RecordingPostHog(project_root=os.path.dirname(__file__))  # noqa: PTH120
    yield made
    made.shutdown()


@pytest.fixture(autouse=True)
def handler(client):
    made = PostHogHandler(client=client)
    logging.getLogger().addHandler(made)
    yield made
    logging.getLogger().removeHandler(made)


def only(client):
    [event] = client.events
    return event


def first(event):
    return event.properties["$exception_list"][0]


def test_an_exception_that_is_logged_is_one_event(client):
    """The event has the message, the logger and the place where it was raised.

    It belongs to the current person.
    """
    with new_context():
        identify_context("ada")
        try:
            raise ValueError("boom")
        except ValueError:
            log.exception("order %s failed", 7)
    event = only(client)
    assert event.distinct_id == "ada"
    assert event.properties["$log_message"] == "order 7 failed"
    assert event.properties["$logger_name"] == "warehouse.orders"
    assert event.properties["$exception_level"] == "error"
    assert event.properties["$exception_source"] == "python.logging"
    assert first(event)["mechanism"] == {"exception_id": 0, "type": "logger", "handled": True, "synthetic": False}
    assert first(event)["stacktrace"]["frames"][-1]["context_line"].strip() == 'raise ValueError("boom")'


@pytest.mark.parametrize(
    ("level", "word"),
    [
        (logging.CRITICAL, "fatal"),
        (logging.ERROR, "error"),
        (logging.WARNING, "warning"),
        (35, "warning"),
        (70, "fatal"),
    ],
)
def test_the_records_level_is_the_events(client, level, word):
    """PostHog's words for it."""
    log.log(level, "x", exc_info=ValueError("boom"))
    assert only(client).properties["$exception_level"] == word


def test_lower_levels_on_request(client, handler):
    """The handler's level, as logging has it."""
    log.setLevel(logging.DEBUG)
    log.info("x", exc_info=ValueError("quiet"))
    handler.setLevel(logging.DEBUG)
    log.info("x", exc_info=ValueError("boom"))
    log.debug("x", exc_info=ValueError("boom"))
    log.setLevel(logging.NOTSET)
    assert [event.properties["$exception_level"] for event in client.events] == ["info", "debug"]


def test_records_without_an_exception_are_passed_over(client):
    """Records whose exception is nobody's mistake are passed over too."""
    log.error("plain")
    log.exception("outside of any except block")  # noqa: LOG004 - there is nothing to send then
    log.error("x", exc_info=(None, None, None))
    log.error("x", exc_info=asyncio.CancelledError())
    log.error("x", exc_info=KeyboardInterrupt())
    assert client.events == []


def test_an_exception_that_was_never_raised_has_the_stack_of_who_logged_it(client):
    """The stack does not have logging's own frames."""
    log.error("x", exc_info=ValueError("boom"))
    frame = first(only(client))["stacktrace"]["frames"][-1]
    assert frame["context_line"].strip() == 'log.error("x", exc_info=ValueError("boom"))'
    assert first(only(client))["mechanism"]["synthetic"] is True


def test_a_patch_in_the_middle_of_logging_is_nobodys_frame(tmp_path):
    """Sentry's, here in a process that it has to itself."""
    (tmp_path / "shop.py").write_text(
        """
import json, logging, sentry_sdk
from hogline.integrations.logging import PostHogHandler
from hogline.testing import RecordingPostHog, recording
sentry_sdk.init("http://key@127.0.0.1:9/1", auto_enabling_integrations=False)
client = RecordingPostHog()
logging.getLogger("shop").addHandler(PostHogHandler(client=client))
logging.getLogger("shop").error("x", exc_info=ValueError("boom"))
[event] = client.events
print(json.dumps(event.properties["$exception_list"][0]["stacktrace"]["frames"][-1]["context_line"]))
"""
    )
    ran = subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout).startswith('logging.getLogger("shop").error(')


def test_it_is_sent_once_whatever_else_sees_it(client):
    """Logged twice, by two loggers with a handler each, captured by hand before or after."""
    log.addHandler(own := PostHogHandler(client=client))
    try:
        raise ValueError("boom")
    except ValueError as error:
        log.exception("first")
        log.exception("second")
        assert client.capture_exception(error) is None
    try:
        raise ValueError("by hand")
    except ValueError as error:
        assert client.capture_exception(error) is not None
        log.exception("after")
    log.removeHandler(own)
    assert [first(event)["value"] for event in client.events] == ["boom", "by hand"]


def test_what_an_interceptor_will_judge_is_left_to_it(client):
    """The interceptor knows the status.

    An exception logged before the interceptor sees it is sent at once, and not again.
    """

    def seen_first(environ, start):
        error = ValueError("seen")
        interceptor.observed(error)
        log.error("then logged", exc_info=error)
        raise error

    def logged_first(environ, start):
        try:
            raise ValueError("logged")
        except ValueError:
            log.exception("then seen")
            raise

    class interceptor:  # noqa: N801 - as a framework's own interceptor speaks
        @staticmethod
        def observed(error):
            from hogline.exchange import observe

            observe(error, handled=True, status=503)

    for app in (seen_first, logged_first):
        wrapped = PostHogInterceptor(app, client=client, capture_exceptions=True)
        with pytest.raises(ValueError, match=r"seen|logged"):
            wrapped({"REQUEST_METHOD": "GET"}, None)
        log.error("and by the server", exc_info=sys.exc_info()[1])
    seen, logged = client.events
    assert (first(seen)["value"], seen.properties["$exception_source"]) == ("seen", "wsgi.interceptor")
    assert first(seen)["mechanism"]["handled"] is False
    assert (first(logged)["value"], logged.properties["$exception_source"]) == ("logged", "python.logging")
    assert logged.properties["$request_method"] == "GET"


@pytest.mark.parametrize(("status", "source"), [(409, "python.logging"), (503, "flask.got_request_exception")])
def test_an_exception_that_the_app_logs_and_answers_is_one_event(client, status, source):
    """The interceptor, which saw it first, captures it from status 500 on.

    Below 500, the log record is captured.
    """
    app = Flask("shop")
    FlaskInterceptor(app, client=client, capture_exceptions=True)

    @app.errorhandler(LookupError)
    def log_and_answer(error):
        log.error("out of stock", exc_info=error)
        return "sorry", status

    @app.get("/")
    def fail():
        raise LookupError("sold")

    assert app.test_client().get("/").status_code == status
    event = only(client)
    assert (first(event)["value"], event.properties["$exception_source"]) == ("sold", source)
    assert event.properties["$request_path"] == "/"


def test_a_hook_that_logs_doubles_nothing(client, monkeypatch):
    """An app's own excepthook that logs, below or above ours."""
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: log.critical("dying", exc_info=error))
    hooked = RecordingPostHog(capture_exceptions=True)
    sys.excepthook(ValueError, error := ValueError("boom"), None)
    log.critical("again", exc_info=error)
    hooked.shutdown()
    assert len(hooked.events) == 1
    assert client.events == []


def test_our_own_records_are_not_captured(client):
    """An error during a capture would otherwise be captured without end."""

    def before_send(event):
        log.error("inside", exc_info=ValueError("inside"))
        raise RuntimeError("hook")

    loud = RecordingPostHog(before_send=before_send)
    logging.getLogger("warehouse").addHandler(own := PostHogHandler(client=loud))
    logging.getLogger("hogline").error("ours", exc_info=ValueError("ours"))
    logging.getLogger("hogline.delivery").error("ours", exc_info=ValueError("ours"))
    log.error("outside", exc_info=ValueError("outside"))
    logging.getLogger("warehouse").removeHandler(own)
    assert loud.events == []
    # The root's handler, which is another, hears of what happened inside.
    assert [first(event)["value"] for event in client.events] == ["inside"]


def test_a_record_that_cannot_be_formatted_is_captured(client, handler):
    """The message as it was written."""
    try:
        raise ValueError("boom")
    except ValueError:
        handler.handle(log.makeRecord("shop", logging.ERROR, "f", 1, "%d items", ("many",), sys.exc_info()))
    assert only(client).properties["$log_message"] == "%d items"


class Mute:
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [
        (Mute(), (), "<Mute that cannot be printed>"),
        (Mute(), (1,), "<Mute that cannot be printed>"),
        ("row %s", (Mute(),), "row %s"),
        ("row %r", (Mute(),), "row %r"),
        ({"a": Mute()}, (), "<dict that cannot be printed>"),
    ],
)
def test_what_cannot_be_printed_costs_no_event(client, message, arguments, shown):
    """This holds for the message, and for its arguments."""
    raises, logging.raiseExceptions = logging.raiseExceptions, False  # pytest's own handlers would raise
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("quiet").handle(
            logging.LogRecord("shop", logging.ERROR, "f", 1, message, arguments, sys.exc_info())
        )
    finally:
        logging.raiseExceptions = raises
    assert first(only(client))["value"] == "boom"
    assert only(client).properties["$log_message"] == shown


def test_a_record_that_nobody_made_with_a_logger_is_captured(client, handler):
    """Libraries make records themselves, with the exception alone."""
    handler.handle(logging.makeLogRecord({"name": "shop", "levelno": logging.ERROR, "exc_info": ValueError("boom")}))
    assert first(only(client))["value"] == "boom"


def test_behind_a_queue_the_handler_says_where_it_belongs(client, handler, caplog):
    """A QueueHandler drops exceptions.

    Beside it, the exception is one event, with the context of who logs.
    """
    logging.getLogger().removeHandler(handler)
    waiting = queue.SimpleQueue()
    logger = logging.getLogger("queued")
    logger.propagate = False
    logger.addHandler(sender := logging.handlers.QueueHandler(waiting))
    listener = logging.handlers.QueueListener(waiting, handler)
    listener.start()
    try:
        for beside in (False, True):
            if beside:
                logger.addHandler(handler)
            with new_context():
                identify_context("ada")
                try:
                    raise ValueError("boom")
                except ValueError:
                    logger.exception("failed")
                    logger.error("no exception")
    finally:
        listener.stop()
        logger.removeHandler(sender)
        logger.removeHandler(handler)
    event = only(client)
    assert (first(event)["value"], event.distinct_id) == ("boom", "ada")
    [warning] = [record.message for record in caplog.records if record.name == "hogline"]
    assert warning.startswith("hogline: PostHogHandler is a handler of a QueueListener")
    assert "add PostHogHandler to the logger, beside the QueueHandler" in warning


@pytest.mark.parametrize("redacts", [True, False])
def test_the_message_is_redacted_as_the_exceptions_is(handler, redacts):
    """It mostly holds the same text. Redacted before it is cut, so that half a secret is none."""
    secret = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
    client = handler._client = RecordingPostHog(redact_messages=redacts)
    log.error("%s %s", "w" * 9990, secret, exc_info=ValueError("boom"))
    log.error("at %s", "https://ann:hunter2@db.example/", exc_info=ValueError("boom"))
    cut, whole = (event.properties["$log_message"] for event in client.events)
    client.shutdown()
    assert ("sk_live" in cut, "hunter2" in whole) == (not redacts, not redacts)
    assert len(cut) <= 10_000
    assert whole.startswith("at https://")


def test_filters_are_heard(client, handler):
    """Filters work as with any handler, and may also replace the record."""
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    log.error("secret", exc_info=ValueError("a"))
    log.error("plain", exc_info=ValueError("b"))
    assert first(only(client))["value"] == "b"


def test_threads_do_not_wait_for_each_other(client):
    """No lock is held while an event is made: another thread may need one to finish it."""
    inside, go = threading.Event(), threading.Event()

    def before_send(event):
        inside.set()
        assert go.wait(30)
        return event

    slow = RecordingPostHog(before_send=before_send)
    logging.getLogger("slow").addHandler(own := PostHogHandler(client=slow))
    thread = threading.Thread(target=lambda: logging.getLogger("slow").error("x", exc_info=ValueError("a")))
    thread.start()
    assert inside.wait(30)
    go_on = threading.Thread(target=lambda: (logging.getLogger("slow").warning("plain"), go.set()))
    go_on.start()
    thread.join(30)
    go_on.join(30)
    logging.getLogger("slow").removeHandler(own)
    assert len(slow.events) == 1


def test_last_resorts_say_that_nothing_handled_it(client):
    """asyncio and servers log what nobody caught."""

    async def work():
        raise ValueError("boom")

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    asyncio.run(main())
    event = only(client)
    assert event.properties["$logger_name"] == "asyncio"
    assert first(event)["mechanism"]["handled"] is False


def test_the_default_client_serves_a_handler_without_one():
    """Chosen when something is logged, not when the handler is made."""
    logger = logging.getLogger("lonely")
    logger.propagate = False
    logger.addHandler(own := PostHogHandler())
    with recording() as posthog:
        logger.error("x", exc_info=ValueError("boom"))
    logger.removeHandler(own)
    assert first(only(posthog))["value"] == "boom"


SERVERS = """
import logging, os, sys, threading, time, urllib.request, urllib.error
from wsgiref.simple_server import make_server, WSGIRequestHandler, WSGIServer
import django, uvicorn
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.urls import path
from fastapi import FastAPI
from flask import Flask
from hogline import PostHog
from hogline.integrations.logging import PostHogHandler
from hogline.interceptors import fastapi as of_fastapi, flask as of_flask

posthog = PostHog("phc_test", host=os.environ["SINK"], flush_interval=60)
logging.basicConfig(level=logging.WARNING, handlers=[PostHogHandler(client=posthog), logging.StreamHandler()])
class Quiet(WSGIRequestHandler):
    def log_message(self, *_): pass

def fail(): raise ValueError("boom")
def handled():
    try: fail()
    except ValueError: logging.getLogger("shop").exception("caught")
    return "ok"

def ask(port):
    for way in ("/fail", "/handled"):
        try: urllib.request.urlopen(f"http://127.0.0.1:{port}{way}").read()
        except urllib.error.HTTPError as error: assert error.code == 500
def serve(app):
    server = make_server("127.0.0.1", 0, app, WSGIServer, Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ask(server.server_port)

flask = Flask("shop"); flask.add_url_rule("/fail", "fail", fail); flask.add_url_rule("/handled", "handled", handled)
of_flask.PostHogInterceptor(flask, client=posthog, capture_exceptions=True)
serve(flask)

from django.http import HttpResponse
urlpatterns = [path("fail", lambda request: fail()), path("handled", lambda request: HttpResponse(handled()))]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None,
    MIDDLEWARE=["hogline.interceptors.django.PostHogInterceptor"], HOGLINE={"client": posthog, "capture_exceptions": True})
django.setup()
serve(WSGIHandler())

fast = FastAPI(); fast.get("/fail")(fail); fast.get("/handled")(handled)
fast.add_middleware(of_fastapi.PostHogInterceptor, client=posthog, capture_exceptions=True)
server = uvicorn.Server(uvicorn.Config(fast, port=0, log_config=None))
threading.Thread(target=server.run, daemon=True).start()
while not server.started: time.sleep(0.01)
ask(server.servers[0].sockets[0].getsockname()[1])
"""


def test_behind_real_servers_an_exception_is_one_event(sink, tmp_path):
    """Frameworks and servers log what interceptors capture: Flask, Django and uvicorn do."""
    script = tmp_path / "servers.py"
    script.write_text(SERVERS)
    process = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        env=os.environ | {"SINK": sink.url}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    told = [
        (
            event.properties["$request_path"],
            event.properties["$exception_source"],
            event.properties["$exception_list"][0]["mechanism"]["handled"],
            event.properties.get("$response_status_code"),
        )
        for event in sink.events
    ]
    assert process.stderr.count("ValueError: boom") >= 6, process.stderr
    assert sorted(told) == sorted(
        [("/handled", "python.logging", True, None)] * 3
        + [
            ("/fail", source, False, 500)
            for source in ("django.middleware", "fastapi.interceptor", "flask.got_request_exception")
        ]
    )
