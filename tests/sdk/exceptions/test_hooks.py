"""An exception that nothing caught is one event, by process-wide hooks in real processes.

Everything else stays as it was.
"""

import os
import sys
import threading

import pytest

from hogline import PostHog
from hogline.testing import RecordingPostHog

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def told(event):
    """The facts that a hook reports of an exception."""
    first = event.properties["$exception_list"][0]
    mechanism = first["mechanism"]
    return (
        first["type"],
        event.properties["$exception_level"],
        event.properties.get("$exception_source"),
        mechanism["type"],
        mechanism["handled"],
    )


MAIN = ("ValueError", "fatal", "python.sys_excepthook", "onuncaughtexception", False)
THREAD = ("ValueError", "error", "python.threading_excepthook", "onuncaughtexception", False)
UNRAISABLE = ("ValueError", "error", "python.sys_unraisablehook", "onuncaughtexception", False)
LOOP = ("ValueError", "error", "python.asyncio_exception_handler", "onunhandledrejection", False)

DEATHS = """
import _thread
def fail(): raise ValueError(where)

where = "a thread"
thread = threading.Thread(target=fail); thread.start(); thread.join()

where = "a finalizer"
class Leaky:
    def __del__(self): fail()
Leaky()

where = "a thread without an object"
seen, before = threading.Event(), sys.unraisablehook
def show(args): before(args); seen.set()
sys.unraisablehook = show
_thread.start_new_thread(fail, ()); seen.wait()

async def work(): fail()
async def main():
    global where
    where = "a task"
    asyncio.create_task(work())
    await asyncio.sleep(0.01)
    where = "a callback"
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0.01)
    where = "the coroutine that asyncio runs"
    fail()
asyncio.run(main())
"""
WANTED = {
    "a thread": (THREAD, "Exception in thread"),
    "a finalizer": (UNRAISABLE, "Exception ignored in"),
    "a thread without an object": (UNRAISABLE, "Exception ignored in thread"),
    "a task": (LOOP, "Task exception was never retrieved"),
    "a callback": (LOOP, "Exception in callback"),
    "the coroutine that asyncio runs": (MAIN, "Traceback"),
}


def test_what_nothing_caught_is_one_event_and_is_printed_as_before(run, sink):
    """`handled` is false; the hook that was there before still speaks.

    The exit code is the interpreter's.
    """
    process = run(DEATHS, status=1)
    assert {event.properties["$exception_list"][0]["value"]: told(event) for event in sink.events} == {
        where: wanted for where, (wanted, _) in WANTED.items()
    }
    assert len(sink.events) == len(WANTED)
    for where, (_, printed) in WANTED.items():
        assert f"ValueError: {where}" in process.stderr
        assert printed in process.stderr
    for event in sink.events:
        last = event.properties["$exception_list"][0]["stacktrace"]["frames"][-1]
        assert (last["context_line"], last["in_app"]) == ("def fail(): raise ValueError(where)", True)


def test_loops_of_other_makers_are_watched_too(run, sink):
    """uvloop's is no subclass of asyncio's; a server may import it after the client was made."""
    pytest.importorskip("uvloop")
    script = """
    async def work(): raise ValueError("boom")
    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        assert type(asyncio.get_running_loop()).__module__ == "uvloop"
    assert "uvloop" not in sys.modules
    import uvloop
    uvloop.run(main())
    posthog.shutdown()
    # and when it is there already
    posthog = PostHog("phc_test", host=os.environ["SINK"], capture_exceptions=True)
    uvloop.run(main())
    """
    run(script, status=0)
    assert [told(event) for event in sink.events] == [LOOP, LOOP]


def test_greenlets_are_watched_where_gevent_is_there(run, sink):
    """Of `gevent.spawn`; gevent prints as before, one that is killed is no exception, and
    `shutdown()` puts back what was there.
    """
    pytest.importorskip("gevent")
    script = """
    import gevent
    def work(): raise ValueError("boom")
    gevent.spawn(work).join()
    gevent.spawn(gevent.sleep, 9).kill()
    posthog.shutdown()
    assert Hub.handle_error is before
    gevent.spawn(work).join()
    """
    patched = "from gevent import monkey; monkey.patch_all()\nfrom gevent.hub import Hub; before = Hub.handle_error\n"
    process = run(script, before=patched, status=0)
    assert [told(event) for event in sink.events] == [
        ("ValueError", "error", "python.gevent", "onuncaughtexception", False)
    ]
    assert process.stderr.count("ValueError: boom") == 2


def test_ends_are_no_exceptions(run, sink):
    """posthog-python sends KeyboardInterrupt.

    Source: docs/internals/capture-protocol.md#deduplication-and-autocapture.
    """
    run(
        """
        async def main():
            task = asyncio.create_task(asyncio.sleep(9)); await asyncio.sleep(0); task.cancel()
        def numbers():
            try: yield 1
            finally: pass
        class Leaky:
            def __del__(self): sys.exit(3)
        asyncio.run(main())
        next(numbers())
        Leaky()
        thread = threading.Thread(target=lambda: sys.exit(3)); thread.start(); thread.join()
        sys.excepthook(BaseExceptionGroup, BaseExceptionGroup("ends", [KeyboardInterrupt(), SystemExit(1)]), None)
        os.kill(os.getpid(), signal.SIGINT); time.sleep(5)
        """
    )
    run("sys.exit(3)", status=3)
    assert sink.events == []


def test_a_base_exception_that_is_no_end_is_captured(run, sink):
    """The process died of it."""
    run("class Broken(BaseException): pass\nraise Broken('boom')", status=1)
    assert [told(event)[:2] for event in sink.events] == [("Broken", "fatal")]


def test_hooks_that_were_there_before_are_called_with_what_they_expect(run, sink):
    """An app's own excepthook, threading hook, unraisable hook and loop handler still run.

    The order of installation does not matter.
    """
    process = run(
        """
        async def work(): raise ValueError("task")
        async def main():
            asyncio.get_running_loop().set_exception_handler(
                lambda loop, context: print("loop:", repr(context["exception"]), loop is asyncio.get_running_loop()))
            asyncio.create_task(work()); await asyncio.sleep(0.01)
        class Leaky:
            def __del__(self): raise ValueError("finalizer")
        def work_in_thread(): raise ValueError("thread")
        asyncio.run(main())
        Leaky()
        thread = threading.Thread(target=work_in_thread); thread.start(); thread.join()
        raise ValueError("main")
        """,
        before="""
import sys, threading
sys.excepthook = lambda kind, error, trace: print("main:", kind.__name__, error, trace is error.__traceback__)
threading.excepthook = lambda args: print("thread:", args.exc_type.__name__, args.exc_value, args.thread.name[:6])
sys.unraisablehook = lambda args: print("unraisable:", args.exc_value, args.object.__name__)
""",
        status=1,
    )
    assert process.stdout.splitlines() == [
        "loop: ValueError('task') True",
        "unraisable: finalizer __del__",
        "thread: ValueError thread Thread",
        "main: ValueError main True",
    ]
    assert [told(event) for event in sink.events] == [LOOP, UNRAISABLE, THREAD, MAIN]
    assert process.stderr == ""


def test_what_was_captured_already_is_not_captured_again(run, sink):
    """The first capture may be by hand, by a scope, or by a hook itself.

    There is one event for each object.
    """
    run(
        """
        from hogline import new_context
        try:
            with new_context(capture_exceptions=True):
                try: raise ValueError("boom")
                except ValueError as error:
                    posthog.capture_exception(error, properties={"by": "hand"})
                    raise
        except ValueError as error:
            def again(): raise error
            thread = threading.Thread(target=again); thread.start(); thread.join()
            raise
        """,
        status=1,
    )
    [event] = sink.events
    assert event.properties["by"] == "hand"


def test_what_an_interceptor_captured_is_not_captured_again(run, sink):
    """An exception that a server lets through to the process."""
    run(
        """
        from hogline.interceptors.wsgi import PostHogInterceptor
        def app(environ, start): raise ValueError("boom")
        app = PostHogInterceptor(app, client=posthog, capture_exceptions=True)
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http", "SERVER_NAME": "x", "SERVER_PORT": "80"}
        app(environ, lambda *_: None)
        """,
        status=1,
    )
    [event] = sink.events
    assert event.properties["$exception_source"] == "wsgi.interceptor"


def test_an_event_belongs_to_who_acted(run, sink):
    """The context of the thread, of the callback, and, from Python 3.12 on, of the task."""
    run(
        """
        from hogline import identify_context, new_context
        def fail(): raise ValueError("boom")
        async def task(): raise ValueError("boom")
        async def main():
            with new_context():
                identify_context("callback")
                asyncio.get_running_loop().call_soon(fail)
                identify_context("task")
                asyncio.create_task(task())
            await asyncio.sleep(0.01)
        def work():
            new_context().__enter__()
            identify_context("thread")
            fail()
        asyncio.run(main())
        thread = threading.Thread(target=work); thread.start(); thread.join()
        with new_context():
            identify_context("main")
            class Leaky:
                def __del__(self): fail()
            Leaky()
        """,
        status=0,
    )
    people = [
        event.distinct_id if event.properties.get("$process_person_profile") is not False else None
        for event in sink.events
    ]
    assert people == ["callback", "task" if sys.version_info >= (3, 12) else None, "thread", "main"]


@needs_fork
def test_a_forked_child_reports_for_itself(run, sink):
    """Hooks are the child's as they were the parent's; each dies, and each says so once."""
    run(
        """
        for n in range(2):
            pid = os.fork()
            if pid == 0: raise ValueError(f"child {n}")
            os.waitpid(pid, 0)
        raise ValueError("parent")
        """,
        status=1,
    )
    values = [event.properties["$exception_list"][0]["value"] for event in sink.events]
    assert values == ["child 0", "child 1", "parent"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_ends_a_child_of_multiprocessing_is_captured(run, sink, method):
    """multiprocessing prints the traceback itself, and calls no hook.

    An exception of a pool's worker belongs to its caller.
    """
    process = run(
        f"""
        import multiprocessing
        def fail(n): raise ValueError(f"child {{n}}")
        def leave(n): sys.exit(n)
        class Own(multiprocessing.get_context("{method}").Process):
            def run(self): fail("own")
        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            children = [context.Process(target=fail, args=(1,)), context.Process(target=leave, args=(3,)), Own()]
            for child in children: child.start()
            for child in children: child.join()
            with context.Pool(1) as pool:
                try: pool.apply(fail, ("pooled",))
                except ValueError: print("caught")
            print([child.exitcode for child in children])
        """,
        status=0,
    )
    assert process.stdout.splitlines() == ["caught", "[1, 3, 1]"]
    assert "ValueError: child 1" in process.stderr
    values = sorted(event.properties["$exception_list"][0]["value"] for event in sink.events)
    assert values == ["child 1", "child own"]
    wanted = ("ValueError", "fatal", "python.multiprocessing", "onuncaughtexception", False)
    assert {told(event) for event in sink.events} == {wanted}
    assert {
        event.properties["$exception_list"][0]["stacktrace"]["frames"][-1]["function"] for event in sink.events
    } == {"fail"}


@needs_fork
def test_a_child_that_is_forked_while_another_thread_installs_is_not_stuck(run, sink):
    """A lock that no thread of the child holds is the child's to take."""
    run(
        """
        from hogline.client import excepthooks
        taken, go = threading.Event(), threading.Event()
        def hold():
            with excepthooks._lock: taken.set(); go.wait()
        threading.Thread(target=hold).start(); taken.wait()
        pid = os.fork()
        if pid == 0:
            posthog.shutdown()
            os._exit(0 if sys.excepthook is sys.__excepthook__ else 1)
        assert os.waitpid(pid, 0)[1] == 0
        go.set()
        """,
        status=0,
    )


def test_a_failure_inside_a_report_is_not_reported(run, sink):
    """A finalizer that fails whenever `before_send` runs would go round for ever."""
    run(
        """
        class Leaky:
            def __del__(self): raise ValueError("inside")
        def before_send(event):
            Leaky()
            return event
        loud = PostHog("phc_loud", host=os.environ["SINK"], capture_exceptions=True, before_send=before_send)
        posthog.shutdown()
        raise ValueError("outside")
        """,
        status=1,
    )
    assert [event.properties["$exception_list"][0]["value"] for event in sink.events] == ["outside"]


def test_a_crash_waits_for_a_slow_server(run, sink):
    """posthog-python gives its last flush one second."""
    sink.answer(503, delay_s=1.0)  # refused events are sent again, and that takes its time, too
    run("raise ValueError('boom')", status=1)
    assert len(sink.requests) == 2
    assert [told(event) for event in sink.events] == [MAIN]


def test_an_answer_at_a_prompt_is_no_crash(run, sink):
    """`python -i`: nothing dies of it."""
    run("sys.ps1 = '> '\nraise ValueError('typo')", status=1)
    assert sink.events == []


def test_exceptions_while_the_interpreter_ends_do_no_harm(run, sink):
    """Modules are half gone, and nothing can be sent any more."""
    process = run(
        """
        class Late:
            def __del__(self): raise ValueError("late")
        sys.modules["late"] = Late()
        late = Late()
        late.me = late
        """,
        status=0,
    )
    assert "hogline" not in process.stderr


def test_every_client_that_asked_hears_of_it_once(run, sink):
    """Two projects; and a second client of the same project doubles nothing."""
    run(
        """
        other = PostHog("phc_other", host=os.environ["SINK"], capture_exceptions=True)
        twin = PostHog("phc_test", host=os.environ["SINK"], capture_exceptions=True)
        silent = PostHog("phc_silent", host=os.environ["SINK"])
        raise ValueError("boom")
        """,
        status=1,
    )
    assert sorted(request.body["api_key"] for request in sink.requests if request.events) == ["phc_other", "phc_test"]
    assert [told(event) for event in sink.events] == [MAIN, MAIN]


def test_a_client_that_nobody_holds_goes_on_watching(run, sink):
    """`PostHog(..., capture_exceptions=True)` is how one asks for it."""
    run("import gc\ndel posthog\ngc.collect()\nraise ValueError('boom')", status=1)
    assert [told(event) for event in sink.events] == [MAIN]


def places():
    from asyncio.base_events import BaseEventLoop
    from asyncio.events import AbstractEventLoop
    from multiprocessing.process import BaseProcess

    return (
        BaseProcess._bootstrap,
        sys.excepthook,
        threading.excepthook,
        sys.unraisablehook,
        BaseEventLoop.call_exception_handler,
        *(kind.call_exception_handler for kind in AbstractEventLoop.__subclasses__()),
        vars(AbstractEventLoop).get("__init_subclass__"),
    )


def test_shutdown_puts_back_what_was_there():
    """The hooks are put back with the last client that installed them.

    A second call changes nothing.
    """
    before = places()
    first, second = RecordingPostHog(capture_exceptions=True), RecordingPostHog(capture_exceptions=True)
    installed = places()
    assert all(ours is not theirs for ours, theirs in zip(installed, before, strict=True))
    first.shutdown()
    first.shutdown()
    assert places() == installed
    second.shutdown()
    assert places() == before


def test_shutdown_leaves_what_somebody_else_put_on_top(monkeypatch):
    """Their hook goes on to ours, and ours, silent now, to what was there.

    A new client captures once, not twice.
    """
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: seen.append("first"))
    client = RecordingPostHog(capture_exceptions=True)
    ours = sys.excepthook

    def wrapper(*args):
        seen.append("wrapper")
        ours(*args)

    monkeypatch.setattr(sys, "excepthook", wrapper)
    client.shutdown()
    assert sys.excepthook is wrapper
    late = RecordingPostHog(capture_exceptions=True)
    error = ValueError("boom")
    sys.excepthook(ValueError, error, None)
    late.shutdown()
    assert seen == ["wrapper", "first"]
    assert client.events == []
    assert len(late.events) == 1
    assert sys.excepthook is wrapper


def test_nothing_is_hooked_unless_asked_for():
    """Off by default, as in posthog-python; its name for the option is understood."""
    before = places()
    PostHog("phc_x").shutdown()
    assert places() == before
    client = PostHog("phc_x", enable_exception_autocapture=True)
    assert sys.excepthook is not before[0]
    client.shutdown()
    assert places() == before


def test_a_disabled_client_reports_nothing(monkeypatch):
    """Opting out holds for what is captured by itself, too."""
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    client = RecordingPostHog(capture_exceptions=True)
    client.disable()
    sys.excepthook(ValueError, ValueError("x"), None)
    client.enable()
    sys.excepthook(ValueError, ValueError("y"), None)
    client.shutdown()
    assert [event.properties["$exception_list"][0]["value"] for event in client.events] == ["y"]
