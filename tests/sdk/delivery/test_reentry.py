"""Captures from where nobody expects them: signal handlers, finalizers, processes that may start no
thread.
"""

import os

import pytest

from tests.support.scripts import output_of

posix_signals = pytest.mark.skipif(not hasattr(__import__("signal"), "setitimer"), reason="needs setitimer")


@posix_signals
def test_a_signal_handler_may_capture_at_any_moment(sink):
    """Also in the middle of a capture of the thread that it interrupts: nothing waits for itself,
    nothing is miscounted.
    """
    out = output_of(
        sink,
        """
        handled = 0
        def handler(number, frame):
            global handled
            handled += 1
            client.capture("handler", distinct_id="u")
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        captured = 0
        until_s = time.monotonic() + 2
        while time.monotonic() < until_s:
            captured += client.capture("main", distinct_id="u") is not None
            if captured % 500 == 0: client.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert client.flush(30)
        stats = client.stats()
        assert stats.waiting == 0, stats
        assert stats.accepted == stats.sent == captured + handled, (stats, captured, handled)
        print(handled, captured)
        """,
    )
    handled, captured = map(int, out.split())
    assert handled > 100
    assert len(sink.named("handler")) == handled
    assert len(sink.named("main")) == captured


@posix_signals
def test_shutdown_from_a_sigterm_handler_sends_what_waits(sink):
    """The documented way for plain scripts; the signal may come in the middle of a capture."""
    for _ in range(5):
        sink.clear()
        out = output_of(
            sink,
            """
            captured = 0
            def stop(number, frame):
                assert client.shutdown(20)
                print(client.stats().sent, flush=True)
                os._exit(0)
            signal.signal(signal.SIGTERM, stop)
            pid = os.getpid()
            threading.Timer(0.2, os.kill, (pid, signal.SIGTERM)).start()
            while True: client.capture("e", distinct_id="u")
            """,
        )
        assert len(sink.events) == int(out) > 0


def test_a_finalizer_may_capture(sink):
    """The garbage collector runs `__del__` wherever an object is made, and so inside a capture as
    well.
    """
    output_of(
        sink,
        """
        import gc
        class Ring:
            def __init__(self): self.me = self
            def __del__(self): client.capture("finalizer", distinct_id="u")
        gc.set_threshold(20)
        for n in range(2000):
            Ring()
            client.capture("main", distinct_id="u")
        gc.collect()
        assert client.flush(30)
        """,
    )
    assert (len(sink.named("main")), len(sink.named("finalizer"))) == (2000, 2000)


def test_where_no_thread_can_be_started_flush_sends_on_its_own(sink):
    """At the interpreter's end, or at the system's limit: later, when threads can be had again,
    they send.
    """
    output_of(
        sink,
        """
        start = threading.Thread.start
        def refuse(thread): raise RuntimeError("can't start new thread")
        threading.Thread.start = refuse
        for n in range(150): client.capture(f"a{n}", distinct_id="u")
        assert client.flush(20)
        assert client.stats().sent == 150
        threading.Thread.start = start
        client.capture("b", distinct_id="u")
        assert client.flush(20)
        assert [thread.name for thread in threading.enumerate()][1:] == ["hogline-worker"]
        threading.Thread.start = refuse
        """,
    )
    assert [event.event for event in sink.events] == [*(f"a{n}" for n in range(150)), "b"]


def test_a_flush_without_a_thread_that_runs_out_of_time_loses_nothing(sink):
    """The batch on its way is sent by the next one, before what came later."""
    sink.answer(503, headers={"Retry-After": "2"})
    output_of(
        sink,
        """
        start = threading.Thread.start
        def refuse(thread): raise RuntimeError("can't start new thread")
        threading.Thread.start = refuse
        client.capture("early", distinct_id="u")
        assert client.flush(0.2) is False
        assert client.stats().waiting == 1
        threading.Thread.start = start
        client.capture("late", distinct_id="u")
        assert client.flush(20)
        stats = client.stats()
        assert (stats.sent, stats.waiting) == (2, 0), stats
        """,
    )
    assert [event.event for event in sink.events] == ["early", "late"]


def test_a_flush_without_a_thread_keeps_its_deadline_while_the_server_is_silent(sink):
    """The request on the caller's thread has no more time than the caller gave."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        output_of(
            sink,
            f"""
            def refuse(thread): raise RuntimeError("can't start new thread")
            threading.Thread.start = refuse
            client = PostHog("phc_test", host="http://127.0.0.1:{silent.getsockname()[1]}", timeout=20)
            client.capture("waits", distinct_id="u")
            begun_s = time.monotonic()
            for _ in range(3): assert client.flush(0.3) is False  # the first has enough to do with its imports
            assert time.monotonic() - begun_s < 10
            assert client.stats().waiting == 1
            client.shutdown(0)
            """,
        )


def test_a_server_that_hangs_takes_no_time_from_other_clients_at_exit(sink):
    """All clients of a process send at once when it ends."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        output_of(
            sink,
            f"""
            del client  # its ten seconds are not to be had either
            stuck = [
                PostHog("phc_test", host="http://127.0.0.1:{silent.getsockname()[1]}", shutdown_timeout=3) for _ in range(8)
            ]
            well = PostHog("phc_test", host=os.environ["SINK"], shutdown_timeout=3, flush_interval=60)
            for one in [*stuck, well]: one.capture("last", distinct_id="u")
            """,
        )
    assert [event.event for event in sink.events] == ["last"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_the_first_captures_of_many_threads_after_an_unseen_fork_all_count(sink):
    """One of them begins anew for the process, the others wait for it (rule `own-the-pid`)."""
    output_of(
        sink,
        """
        import ctypes
        client.capture("parent", distinct_id="u")
        client.flush()
        # A thread that asks for the GIL at the moment of such a fork holds its mutex for ever in
        # the child: let the sender rest.
        while not client._delivery._worker.signals.work._waiters: time.sleep(0.01)
        time.sleep(0.05)
        libc = ctypes.PyDLL(None)
        for _ in range(20):
            pid = libc.fork()
            if pid == 0:
                sys.setswitchinterval(1e-6)
                barrier = threading.Barrier(8)
                def first():
                    barrier.wait()
                    client.capture("child", distinct_id="u")
                threads = [threading.Thread(target=first) for _ in range(8)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
                stats = client.stats()
                os._exit(0 if stats.accepted == 8 and client.flush(20) else 1)
            assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert len(sink.named("child")) == 160
