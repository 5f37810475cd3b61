"""Each queue keeps the promises that are special to it.

They concern its formats, stores and kinds of workers, and run in this process, with the real
library.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.events import EVENT_JOB_SUBMITTED
from apscheduler.executors.pool import ProcessPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler
from celery import Celery
from huey import MemoryHuey
from huey.serializer import Serializer, SignedSerializer
from taskiq import InMemoryBroker, ScheduleSource, TaskiqScheduler

import hogline
from hogline import SettingsError
from hogline.context import current
from hogline.interceptors.wsgi import PostHogInterceptor as WsgiInterceptor
from hogline.propagation.apscheduler import PostHogPropagation as ApschedulerPropagation
from hogline.propagation.carrier import KEY, unpack
from hogline.propagation.celery import PostHogPropagation as CeleryPropagation
from hogline.propagation.huey import PostHogPropagation as HueyPropagation
from hogline.propagation.taskiq import PostHogPropagation as TaskiqPropagation
from hogline.propagation.tasks import TaskPolicy
from hogline.testing import RecordingPostHog
from tests.propagation.test_outgoing import acting
from tests.support.behaviours import shows
from tests.support.tools import require

client = RecordingPostHog()  # jobs that a store remembers by name capture with this client


@pytest.fixture(autouse=True)
def forget():
    yield
    client.clear()
    assert current.get() is None


def wait_until(condition, timeout_s=30):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)


def work(label):
    client.capture(label)


def fail(label):
    raise ValueError(label)


def test_apschedulers_job_keeps_its_visitor_over_a_restart(tmp_path):
    """The job is in a store that other schedulers read."""
    store = {"default": SQLAlchemyJobStore(f"sqlite:///{tmp_path}/jobs.db")}
    first = BackgroundScheduler(jobstores=store)
    ApschedulerPropagation(first, client=client)
    first.start()
    later = {"trigger": "date", "run_date": datetime.now(UTC) + timedelta(hours=1), "misfire_grace_time": None}
    with acting():
        first.add_job("tests.propagation.test_queues_apart:work", args=["remembered"], id="remembered", **later)
        first.add_job("os:mkdir", args=[str(tmp_path / "made")], id="plain", **later)
    first.shutdown()

    second = BackgroundScheduler(jobstores={"default": SQLAlchemyJobStore(f"sqlite:///{tmp_path}/jobs.db")})
    ApschedulerPropagation(second, client=client)
    second.start()
    second.modify_job("remembered", next_run_time=datetime.now(UTC))
    recorder = sys.modules.get("tests.propagation.test_queues_apart", sys.modules[__name__]).client
    wait_until(lambda: recorder.events)
    second.shutdown()
    [event] = recorder.events
    recorder.clear()
    assert (event.distinct_id, event.properties["$session_id"]) == ("alice", "session-a")

    script = (
        "import os, sys, time; from datetime import datetime, UTC; from apscheduler.schedulers.background import BackgroundScheduler\n"
        "scheduler = BackgroundScheduler(); scheduler.add_jobstore('sqlalchemy', url=f'sqlite:///{sys.argv[1]}/jobs.db'); scheduler.start()\n"
        "scheduler.modify_job('plain', next_run_time=datetime.now(UTC))\n"
        "while not os.path.isdir(f'{sys.argv[1]}/made'): time.sleep(0.02)\n"
        "scheduler.shutdown()"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(tmp_path)], check=True, timeout=60)
    assert (tmp_path / "made").is_dir()  # a scheduler without us reads the store, and runs the job


def test_apschedulers_coroutine_jobs_run_in_their_context():
    """On the event loop; an interval's every run."""
    ran = []

    async def work_async():
        client.capture("async")
        ran.append(1)

    async def fail_async():
        raise ValueError("async")

    async def main():
        scheduler = AsyncIOScheduler()
        ApschedulerPropagation(scheduler, client=client)
        scheduler.start()
        with acting():
            scheduler.add_job(
                work_async, "interval", seconds=0.05, next_run_time=datetime.now(UTC), misfire_grace_time=None
            )
            scheduler.add_job(fail_async, misfire_grace_time=None)
        while len(ran) < 2:
            await asyncio.sleep(0.02)
        scheduler.shutdown()
        await asyncio.sleep(0)

    asyncio.run(main())
    events = client.events
    assert len([event for event in events if event.event == "async"]) >= 2
    assert {event.distinct_id for event in events} == {"alice"}
    assert len([event for event in events if event.event == "$exception"]) == 1


def test_apschedulers_process_pool_runs_jobs_in_their_context(sink, monkeypatch):
    """Another process, its own default client, flushed when it ends; the job is named, not sent."""
    for name, value in {"PROJECT_TOKEN": "phc_pool", "HOST": sink.url, "FLUSH_INTERVAL": "3600"}.items():
        monkeypatch.setenv(f"HOGLINE_{name}", value)
    scheduler = BackgroundScheduler(executors={"default": ProcessPoolExecutor(1)})
    ApschedulerPropagation(scheduler, client=client)
    submitted = threading.Event()
    scheduler.add_listener(lambda _: submitted.set(), EVENT_JOB_SUBMITTED)
    scheduler.start()
    with acting():
        scheduler.add_job("hogline:capture", args=["pooled"], misfire_grace_time=None)
    assert submitted.wait(30)
    scheduler.shutdown()
    [event] = sink.wait_for(1)
    assert (event.event, event.distinct_id, event.properties["$session_id"]) == ("pooled", "alice", "session-a")


SERIALIZERS = {
    "plain": Serializer,
    "gzip": lambda: Serializer(compression=True),
    "zlib": lambda: Serializer(compression=True, use_zlib=True),
    "signed": lambda: SignedSerializer(secret="x"),
    "signed gzip": lambda: SignedSerializer(secret="x", compression=True),
}


@pytest.mark.parametrize("name", SERIALIZERS)
def test_hueys_messages_are_read_with_and_without_us(name):
    """Behind the pickle, inside signature and compression.

    Either side may be a consumer that knows nothing of it.
    """
    ours, plain = (MemoryHuey("x", serializer=SERIALIZERS[name]()) for _ in range(2))
    HueyPropagation(ours, client=client)
    for huey in (ours, plain):
        huey.task(name="work")(work)
    with acting():
        message = ours.serialize_task(ours._registry.string_to_task(f"{__name__}.work")(("label",)))
    task = plain.deserialize_task(message)
    assert (task.args, "hogline_carrier" in vars(task)) == (("label",), False)
    back = ours.deserialize_task(message)
    assert unpack(back.hogline_carrier).distinct_id == "alice"
    assert ours.deserialize_task(plain.serialize_task(task)).args == ("label",)
    assert (
        ours.deserialize_task(ours.serialize_task(back)).hogline_carrier == back.hogline_carrier
    )  # the first one stays


def test_a_serializer_with_a_format_of_its_own_carries_nothing_and_says_so(caplog):
    """Its messages stay what they were; exceptions are captured all the same."""

    class Own(Serializer):
        def _serialize(self, data):
            return b"own" + super()._serialize(data)

        def _deserialize(self, data):
            return super()._deserialize(data[3:])

    huey = MemoryHuey("x", serializer=Own(), immediate=False)
    with caplog.at_level(logging.WARNING):
        HueyPropagation(huey, client=client)
        HueyPropagation(huey, client=client)
    assert "carry no context" in caplog.text
    assert "second one is ignored" in caplog.text
    task = huey.task()(fail)
    with acting():
        task("own")
    huey.execute(huey.dequeue())
    [event] = client.named("$exception")
    assert event.properties.get("$session_id") is None


def test_taskiqs_scheduled_tasks_keep_their_visitor():
    """They are sent by a scheduler, where nobody is."""

    class Source(ScheduleSource):
        def __init__(self):
            self.kept = []

        async def get_schedules(self):
            return self.kept

        async def add_schedule(self, schedule):
            self.kept.append(schedule)

    async def main():
        broker, source = InMemoryBroker(await_inplace=True), Source()
        broker.add_middlewares(TaskiqPropagation(client=client))
        task = broker.task(task_name="work")(work)
        with acting():
            await task.schedule_by_time(source, datetime.now(UTC) + timedelta(hours=1), "scheduled")
        [schedule] = await source.get_schedules()
        await TaskiqScheduler(broker, [source]).on_ready(source, schedule)
        await broker.shutdown()

    asyncio.run(main())
    [event] = client.events
    assert (event.distinct_id, event.properties["$session_id"]) == ("alice", "session-a")


@pytest.mark.parametrize("inside", [acting, contextlib.nullcontext], ids=["a-request", "nothing"])
def test_taskiqs_task_in_place_leaves_its_context_to_nobody(inside):
    """It runs in the asyncio task of who queued it, who may be nobody."""

    async def main():
        broker = InMemoryBroker(await_inplace=True).with_middlewares(TaskiqPropagation(client=client))
        task = broker.task(task_name="work")(work)
        with inside():
            before = current.get()
            await task.kiq("in place")
            assert current.get() is before
        await broker.shutdown()

    asyncio.run(main())
    assert [event.properties["$task_name"] for event in client.events] == ["work"]


def test_rqs_simple_worker_gives_each_job_its_own_context(tmp_path):
    """Its jobs share the worker's process and thread."""
    from redis import Redis

    from hogline.propagation.rq import PostHogQueue, PostHogSimpleWorker

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [require("redis"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        redis = Redis(port=port)

        def answers():
            try:
                return redis.ping()
            except OSError:
                return False
            except Exception as error:
                assert "onnect" in str(error) or "oading" in str(error)
                return False

        wait_until(answers)

        class Worker(PostHogSimpleWorker):
            propagation = {"client": client, "ignore": (KeyError,)}

        queue = PostHogQueue(connection=redis)
        with acting("alice", "s1"):
            queue.enqueue(work_here, "first")
        with acting("bob", "s2"):
            job = queue.enqueue(work_here, "second", meta={"own": 1})
        queue.enqueue(work_here, "third")
        Worker([queue], connection=redis).work(burst=True, logging_level="ERROR")
        # Sentry's client patches RQ where an earlier test of this process has started it.
        assert {name for name in job.meta if not name.startswith("_sentry")} == {"own", KEY}
        redis.close()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    told = [(event.event, event.properties.get("$session_id")) for event in here().events]
    here().clear()
    assert told == [("first", "s1"), ("second", "s2"), ("third", None)]


def here():
    """Return the client of this module as a worker imports it."""
    module = sys.modules.get("tests.propagation.test_queues_apart")
    return module.client if module is not None else client


def work_here(label):
    here().capture(label)


def eager_celery():
    app = Celery("eager")
    app.conf.update(task_always_eager=True, task_store_eager_result=False)
    app.task(name="fail")(fail)
    propagation = CeleryPropagation(client=client)
    try:
        app.tasks["fail"].delay("eager").get()
    finally:
        propagation.uninstall()


def taskiq_in_place():
    async def main():
        broker = InMemoryBroker(await_inplace=True).with_middlewares(TaskiqPropagation(client=client))
        sent = await broker.task(task_name="fail")(fail).kiq("eager")
        (await sent.wait_result()).raise_for_error()

    asyncio.run(main())


@shows("captured-once", "celery-tasks")
@pytest.mark.parametrize("fails", [eager_celery, taskiq_in_place])
def test_what_an_eager_task_raises_and_its_caller_lets_go_is_one_event(fails):
    """The same object: the task's run saw it first, and the request's interceptor knows."""

    def app(environ, start_response):
        fails()

    around = WsgiInterceptor(app, client=client, capture_exceptions=True)
    for _ in range(2):  # and the next request's is another one
        with pytest.raises(ValueError):
            around({"HTTP_X_POSTHOG_DISTINCT_ID": "alice"}, None)
    found = [(event.properties["$exception_source"].partition(".")[2], event.distinct_id) for event in client.events]
    assert {source for source, _ in found} <= {"task", "task_failure"}
    assert [person for _, person in found] == ["alice"] * 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"unknown": 1}, TypeError), ({"client": "no client"}, SettingsError), ({"ignore": "ValueError"}, SettingsError),
        ({"tags": [1]}, SettingsError), ({"max_carrier_bytes": 1}, SettingsError), ({"every_attempt": "yes"}, SettingsError),
    ],
    ids=str,
)  # fmt: skip
def test_an_option_that_cannot_work_is_an_error_where_the_queue_is_set_up(options, error):
    """The error lists the names that exist."""
    with pytest.raises(error):
        TaskPolicy("queue", options)


@pytest.mark.parametrize(
    ("options", "error", "captured"),
    [
        ({}, ValueError(), True),
        ({"capture_exceptions": False}, ValueError(), False),
        ({"ignore": [ValueError]}, ValueError(), False),
        ({"ignore": ValueError}, UnicodeDecodeError("utf-8", b"", 0, 1, ""), False),
        ({"ignore": [ValueError]}, ExceptionGroup("", [ValueError(), KeyError()]), True),
        ({}, asyncio.CancelledError(), False),
        ({}, KeyboardInterrupt(), False),
        ({}, SystemExit(1), False),
        ({}, ExceptionGroup("", [ValueError()]), True),
    ],
    ids=repr,
)
def test_what_counts_as_a_tasks_mistake(options, error, captured):
    """Ignored exceptions, cancellation and exits are no mistakes; groups are judged by their
    leaves.
    """
    policy = TaskPolicy("queue", {"client": client} | options)
    with policy.begin(None, name="task") as run:
        run.failed(error)
        run.failed(error)
    assert len(client.named("$exception")) == captured


def test_a_run_gives_the_context_back_however_it_ends():
    """Inline, nested, ended twice; a scope that was left open inside goes with it."""
    policy = TaskPolicy("queue", {"client": client})
    with acting("bob"):
        before = current.get()
        run = policy.begin(policy.inject(), name="outer")
        assert hogline.get_context_distinct_id() == "bob"
        hogline.identify_context("carol")
        hogline.new_context().__enter__()
        inner = policy.begin(policy.inject(), name="inner")
        assert hogline.get_context_distinct_id() == "carol"
        inner.end()
        run.end()
        run.end()
        assert current.get() is before
    assert os.getpid()
