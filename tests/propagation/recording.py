"""A recording of one queue that runs the contract's tasks.

The senders, the broker, the workers and the sink are real.

Each queue is recorded once, also when several processes of the test suite need it: starting workers
takes the time here, and the promises are many.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

import urllib3

from tests.support.sink import Sink, SunkEvent
from tests.support.tools import ROOT, require

WAIT_S = 90.0  # starting a worker takes long where eight others start
NEEDS_REDIS = {"rq", "dramatiq", "arq", "taskiq"}
QUEUES = ("apscheduler", "arq", "celery", "django", "dramatiq", "huey", "rq", "taskiq")


def visitor(name):
    return {
        "X-POSTHOG-SESSION-ID": f"session-{name}",
        "X-POSTHOG-DISTINCT-ID": name,
        "X-POSTHOG-WINDOW-ID": f"window-{name}",
        "User-Agent": f"browser of {name}",
    }


@dataclass
class Recording:
    """The events of one queue, by what stood at its two ends."""

    name: str
    features: set[str]
    has_worker: bool
    both: list[SunkEvent] = field(default_factory=list)  # propagation at both ends
    every: list[SunkEvent] = field(default_factory=list)  # the worker captures every attempt
    without: list[SunkEvent] = field(default_factory=list)  # a worker without propagation
    shop_pid: int = 0
    log: str = ""

    def note(self, label, events=None):
        """Return the one event that the task *label* captured."""
        found = [event for event in (self.both if events is None else events) if event.event == f"note {label}"]
        assert len(found) == 1, (label, [event.event for event in self.both])
        return found[0]

    def exceptions(self, text, events=None):
        """Return the exception events whose message is *text*."""
        return [
            event
            for event in (self.both if events is None else events)
            if event.event == "$exception" and event.properties["$exception_list"][0]["value"] == text
        ]


def recording(name, folder):
    """Return the recording of the queue *name*; made once for all processes that share *folder*."""
    if name in NEEDS_REDIS:
        require("redis")
    kept, failed = folder / f"{name}.json", folder / f"{name}.failed"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The first failure is the reason of all: a second recording would wait as long in vain.
        assert not failed.exists(), failed.read_text()
        if not kept.exists():
            work = folder / name
            work.mkdir()
            (work / "done").mkdir()
            try:
                made = _Stage(name, work).record()
            except BaseException as error:
                failed.write_text(f"the queue's recording failed in an earlier test: {error}")
                raise
            kept.write_text(json.dumps(asdict(made) | {"features": sorted(made.features)}))
    told = json.loads(kept.read_text())
    for part in ("both", "every", "without"):
        told[part] = [SunkEvent(**event) for event in told[part]]
    return Recording(**told | {"features": set(told["features"])})


class _Stage:
    """The processes around one queue."""

    def __init__(self, name, work):
        self.name = name
        self.work = work
        self.sink = Sink()
        self.module = f"{name}_app"
        self.environ = os.environ | {
            "SINK": self.sink.url,
            "WORK": str(work),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }
        self.processes = []
        self.pool = urllib3.PoolManager(retries=False, timeout=30)

    def record(self):
        with contextlib.ExitStack() as stack:
            stack.callback(self.sink.stop)
            stack.callback(self.end)
            if self.name in NEEDS_REDIS:
                self.environ["REDIS_URL"] = self.start_redis()
            return self.play()

    def play(self):
        told = self.ask()
        worker = told["worker"]
        made = Recording(self.name, set(told["features"]), worker is not None)
        shop, url = self.start_shop()
        made.shop_pid = shop.pid
        running = self.start_worker(worker)
        expected = self.send_all(url, made.features)
        plain_shop, plain_url = self.start_shop(PROPAGATION="off")
        self.get(plain_url, "note/plain", visitor("alice"))
        self.wait_for({**expected, **({"plain": 1} if worker else {})})
        if worker:
            self.stop(running, told["stop"])
        else:
            self.close(shop)
        made.both = self.take()
        if worker and self.name != "django":  # a keyword is no header; its page says so
            made.without = self.brief(worker, url, {"note/unread": 1}, PROPAGATION="off")
        if "retries" in made.features:
            tasks = {"broken/again": 2, **({"killed/killed": 1} if "killed" in made.features else {})}
            made.every = self.brief(worker, url, tasks, EVERY_ATTEMPT="1")
        if worker:
            self.close(shop)
            made.both += self.take()
        self.close(plain_shop)
        made.log = "".join(path.read_text() for path in self.work.glob("*.log"))
        return made

    def brief(self, worker, url, tasks, **environ):
        """Let another worker do *tasks* one by one; return what it captured.

        *tasks* says how many events each causes. They are waited for before the next task is
        queued: a task that kills its process would take with it what that process has not sent.
        """
        running = self.start_worker(worker, FLUSH_INTERVAL_S="0.05", **environ)
        expected = 0
        for task, events in tasks.items():
            self.get(url, task, visitor("alice"))
            expected += events
            self.sink.wait_for(expected, WAIT_S)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(WAIT_S)
        return self.take()

    def send_all(self, url, features):
        """Queue everything; returns how often each label has to run."""
        alice = visitor("alice")
        two = 2 if "retries" in features else 1
        for task, label, who in [
            ("note", "a", alice), ("note", "b", visitor("bob")), ("note", "nobody", {}), ("child", "parent", alice),
            ("broken", "broken", alice), ("caught", "caught", alice), ("reused", "reused-1", alice), ("reused", "reused-2", alice),
        ]:  # fmt: skip
            self.get(url, f"{task}/{label}", who)
        self.get(url, "note/bare", alice, where="bare")
        expected = {"a": 1, "b": 1, "nobody": 1, "bare": 1, "parent": 1, "parent-child": 1, "broken": two, "caught": 1}
        expected |= {"reused-1": 1, "reused-2": 1}
        for task in sorted(features - {"retries", "killed"}):
            self.get(url, f"{task}/{task}", alice)
            expected |= {f"{task}-1": 1, f"{task}-2": 1} if task in ("chain", "group") else {task: 1}
        if self.name == "celery":
            expected |= {"control-reject": 1}
        if self.name == "huey":
            expected |= {"control": 2, "control-cancel": 1}
        if self.name in ("arq", "rq"):
            expected |= {"control": 2}
        return expected

    def ask(self):
        """Return what the queue's file says of itself, and let it prepare its broker."""
        script = (
            f"import json; from tests.propagation.queues import {self.module} as q; getattr(q, 'prepare', lambda: None)();"
            "print(json.dumps({'worker': q.WORKER, 'features': sorted(q.FEATURES), 'stop': getattr(q, 'STOP', 0)}))"
        )
        run = subprocess.run(
            [sys.executable, "-c", script],
            env=self.environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout.splitlines()[-1])

    def start_redis(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [
            require("redis"),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(self.work),
        ]
        self.start(command, "redis")
        self.until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None)
        return f"redis://127.0.0.1:{port}/0"

    def start(self, command, label, **environ):
        log = (self.work / f"{label}.{len(self.processes)}.log").open("w")
        process = subprocess.Popen(
            command, cwd=ROOT, env=self.environ | environ, stdin=subprocess.PIPE if label == "shop" else subprocess.DEVNULL, stdout=subprocess.PIPE if label == "shop" else log,
            stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
        log.close()
        self.processes.append(process)
        return process

    def start_shop(self, **environ):
        process = self.start([sys.executable, "-m", "tests.propagation.queues.shop", self.module], "shop", **environ)
        port = process.stdout.readline()
        assert port, self.logs()
        return process, f"http://127.0.0.1:{port.strip()}"

    def start_worker(self, command, **environ):
        return self.start(command, "worker", **environ) if command else None

    def get(self, url, path, headers, where="send"):
        answer = self.pool.request("GET", f"{url}/{where}/{path}", headers=headers)
        assert answer.status == 200, self.logs()

    def wait_for(self, expected):
        def ran():
            return Counter(path.name.split()[0] for path in (self.work / "done").iterdir())

        try:
            self.until(lambda: not expected.items() - ran().items())
        except AssertionError:
            raise AssertionError(f"wanted {expected}, ran {dict(ran())}\n{self.logs()}") from None

    def until(self, condition):
        deadline_s = time.monotonic() + WAIT_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(OSError):
                if condition():
                    return
            assert all(process.poll() in (None, 0, -signal.SIGTERM, -signal.SIGKILL) for process in self.processes), (
                self.logs()
            )
            time.sleep(0.02)
        raise AssertionError("waited in vain")

    def stop(self, process, number):
        process.send_signal(signal.Signals(number))
        process.wait(WAIT_S)

    def close(self, shop):
        shop.stdin.close()
        shop.wait(WAIT_S)
        shop.stdout.close()

    def take(self):
        events = self.sink.events
        self.sink.clear()
        return events

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(WAIT_S)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    def logs(self):
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.work.glob("*.log")))
