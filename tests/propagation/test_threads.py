"""Threads and executors carry the context where they are told to.

No context shows in anybody else's.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import glob
import multiprocessing.pool
import pickle
import threading

import anyio
import anyio.to_thread
import dask
import joblib
import joblib.externals.loky
import pytest

import hogline
from hogline.context import current
from hogline.propagation import threads
from hogline.testing import RecordingPostHog
from tests.propagation import process_app
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now


@pytest.fixture
def acting():
    """Return a scope in which *name* acts."""

    def scope(name):
        entered = hogline.new_context(fresh=True)

        class Acting:
            def __enter__(self):
                entered.__enter__()
                hogline.identify_context(name)

            def __exit__(self, *exc):
                entered.__exit__(*exc)

        return Acting()

    return scope


@pytest.fixture
def patched():
    threads.patch()
    threads.patch()
    yield
    threads.unpatch()


def in_thread(make, target=now):
    found = []
    thread = make(target=lambda: found.append(target()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_beside_sentrys_patch_runs_all_the_same(acting, monkeypatch):
    """Sentry's patch of `Thread.start` hands the thread itself to the `run` that it finds."""
    start = threading.Thread.start

    def patched_start(self):
        found = self.run
        self.run = lambda: getattr(found, "__func__", found)(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", patched_start)
    with acting("alice"):
        assert in_thread(threads.Thread) == "alice"


@shows("threads-inherit-nothing")
def test_a_bare_thread_and_executor_see_nothing(acting):
    """The helpers exist for these cases (docs/internals/frameworks.md#context-visibility)."""
    with acting("alice"), concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert in_thread(threading.Thread) is None
        assert pool.submit(now).result() is None


def test_our_thread_runs_in_the_context_it_was_started_in(acting):
    """This also holds for a subclass with a `run` of its own."""

    class Own(threads.Thread):
        def run(self):
            self.found = now()

    with acting("alice"):
        assert in_thread(threads.Thread) == "alice"
        own = Own()
        own.start()
        own.join()
        assert own.found == "alice"


def test_our_executor_runs_each_call_in_the_context_it_was_submitted_in(acting):
    """On one thread: alice's, bob's, nobody's; `submit` and `map`."""
    with threads.ThreadPoolExecutor(1) as pool:
        with acting("alice"):
            first = [pool.submit(now).result(), *pool.map(lambda _: now(), range(2))]
        with acting("bob"):
            second = pool.submit(now).result()
        assert first == ["alice"] * 3
        assert second == "bob"
        assert pool.submit(now).result() is None


def test_what_a_thread_says_stays_in_it(acting):
    """A child's tags and identities give nothing back, and do not wait for the next call."""

    def say():
        hogline.tag("where", "thread")
        hogline.identify_context("thread")
        return hogline.get_tags()

    with threads.ThreadPoolExecutor(1) as pool, acting("alice"):
        assert pool.submit(say).result() == {"where": "thread"}
        assert pool.submit(hogline.get_tags).result() == {}
        assert now() == "alice"
        assert hogline.get_tags() == {}


def test_a_carried_callable_runs_in_its_context_wherever_it_is_called(acting):
    """This holds for functions, partials and coroutine functions, however often they are called.

    Errors pass through as they are.
    """
    error = ValueError("mine")

    def fail():
        raise error

    async def now_async():
        await asyncio.sleep(0)
        return now()

    with acting("alice"):
        carried, partial = threads.carry(now), threads.carry(functools.partial(now))
        carried_async, failing = threads.carry(now_async), threads.carry(fail)
    with acting("bob"):
        assert [carried(), carried(), partial()] == ["alice"] * 3
        assert asyncio.run(carried_async()) == "alice"
        with pytest.raises(ValueError, match="mine") as caught:
            failing()
        assert caught.value is error
        assert now() == "bob"
    assert asyncio.iscoroutinefunction(carried_async)


def test_asyncio_and_anyio_carry_by_themselves_and_run_in_executor_with_help(acting):
    """`to_thread`, tasks and anyio's threads need nothing.

    `run_in_executor` needs `carry` or our executor.
    """

    async def main():
        loop = asyncio.get_running_loop()
        with acting("alice"), threads.ThreadPoolExecutor(1) as pool:
            return [
                await asyncio.to_thread(now),
                await anyio.to_thread.run_sync(now),
                await asyncio.create_task(anyio.to_thread.run_sync(now)),
                await loop.run_in_executor(None, now),
                await loop.run_in_executor(None, threads.carry(now)),
                await loop.run_in_executor(pool, now),
            ]

    assert asyncio.run(main()) == ["alice", "alice", "alice", None, "alice", "alice"]


def test_the_patch_carries_into_every_thread_and_executor(acting, patched):
    """Ours included, once; a pool's own threads serve everybody and keep nobody."""

    async def in_default_executor():
        return await asyncio.get_running_loop().run_in_executor(None, now)

    with concurrent.futures.ThreadPoolExecutor(1) as pool, threads.ThreadPoolExecutor(1) as ours:
        with acting("alice"):
            assert in_thread(threading.Thread) == in_thread(threads.Thread) == "alice"
            assert pool.submit(now).result() == ours.submit(now).result() == "alice"
            assert asyncio.run(in_default_executor()) == "alice"
        with acting("bob"):
            assert pool.submit(now).result() == "bob"
        assert pool.submit(now).result() is None
        assert in_thread(threading.Thread) is None


def test_a_pool_of_multiprocessings_threads_keeps_nobody(acting, patched):
    """The pool outlives the caller and serves others.

    Code that wants a context there carries it.
    """
    with acting("alice"):
        pool = multiprocessing.pool.ThreadPool(1)
    with pool, acting("bob"):
        assert pool.apply(now) is None
        assert pool.apply(threads.carry(now)) == "bob"


def test_the_patch_can_be_taken_away():
    """Afterwards threads behave as if there had been no patch."""
    start, submit = threading.Thread.start, concurrent.futures.ThreadPoolExecutor.submit
    threads.patch()
    assert threading.Thread.start is not start
    threads.unpatch()
    threads.unpatch()
    assert threading.Thread.start is start
    assert concurrent.futures.ThreadPoolExecutor.submit is submit


def test_the_senders_thread_keeps_nobodys_context(acting, patched, sink):
    """It is started by whoever captures first, and outlives them all."""
    seen = []
    client = hogline.PostHog(
        "phc_test", host=sink.url, flush_at=1, on_error=lambda *_: seen.append(now()), max_retries=0
    )
    sink.answer(400)
    with acting("alice"):
        client.capture("refused")
    client.shutdown()
    assert seen == [None]


def test_many_visitors_at_once_are_never_mixed(acting):
    """200 submissions from 20 threads into one pool of 5."""
    with threads.ThreadPoolExecutor(5) as pool:

        def visit(name):
            with acting(name):
                futures = [pool.submit(now) for _ in range(10)]
            return [future.result() for future in futures]

        with concurrent.futures.ThreadPoolExecutor(20) as visitors:
            names = [f"visitor-{n}" for n in range(20)]
            assert list(visitors.map(visit, names)) == [[name] * 10 for name in names]


def test_an_event_from_a_carried_thread_has_the_requests_facts():
    """A real WSGI request whose handler leaves work to a thread that outlives it."""
    from hogline.interceptors.wsgi import PostHogInterceptor

    client = RecordingPostHog()
    left = threading.Event()
    running = []

    def work():
        left.wait(20)
        client.capture("worked")

    def app(environ, start_response):
        running.append(threads.Thread(target=work))
        running[0].start()
        start_response("200 OK", [])
        return [b""]

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/later",
        "SERVER_NAME": "shop",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in VISITOR.items()}
    body = PostHogInterceptor(app, client=client)(environ, lambda *_: None)
    list(body)
    getattr(body, "close", lambda: None)()
    left.set()
    running[0].join()
    [event] = client.events
    assert (event.distinct_id, event.properties["$session_id"]) == ("alice", "session-a")
    assert event.properties["$request_path"] == "/later"


def test_threads_that_start_threads_chain_no_contexts(acting, patched):
    """A timer that sets itself again would hold all of its predecessors' contexts."""
    done, depths = threading.Event(), []

    def tick():
        depth, context = 0, current.get()
        while context is not None:
            depth, context = depth + 1, context.parent
        depths.append((depth, now()))
        if len(depths) < 10:
            threading.Timer(0, tick).start()
        else:
            done.set()

    with acting("alice"):
        threading.Timer(0, tick).start()
    assert done.wait(30)
    assert depths == [(1, "alice")] * 10


class TestProcesses:
    """Another process sees these values.

    The functions are importable there, as pools need them.
    """

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_a_carried_function_runs_in_a_process_pool(self, method):
        """With the person, the session, the facts and the tags.

        The worker's next task begins without them.
        """
        context = multiprocessing.get_context(method)
        with hogline.new_context(), concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            hogline.identify_context("alice")
            hogline.set_context_session("session-a")
            hogline.tag("plan", "pro")
            told = pool.submit(threads.carry(process_app.told), 7).result(60)
            assert told == (7, "alice", {"$session_id": "session-a", "plan": "pro"})
            assert pool.submit(process_app.told, 8).result(60) == (8, None, {})

    def test_a_carried_function_runs_in_a_pool_of_multiprocessing(self):
        """`map` and `apply` alike."""
        with hogline.new_context(), multiprocessing.get_context("spawn").Pool(1) as pool:
            hogline.identify_context("alice")
            carried = threads.carry(process_app.told)
            assert [person for _, person, _ in pool.map(carried, [1, 2])] == ["alice", "alice"]
            assert pool.apply(carried, (3,))[1] == "alice"

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    @pytest.mark.parametrize("how", ["joblib", "loky", "dask"])
    def test_a_carried_function_runs_in_the_processes_of_joblib_and_dask(self, how):
        """With the person, the session and the tags; both pickle by cloudpickle."""
        with hogline.new_context():
            hogline.identify_context("alice")
            hogline.set_context_session("session-a")
            hogline.tag("plan", "pro")
            carried = threads.carry(process_app.told)
            if how == "joblib":
                found = joblib.Parallel(n_jobs=2)(joblib.delayed(carried)(number) for number in (1, 2))
            elif how == "loky":
                with joblib.externals.loky.ProcessPoolExecutor(1) as pool:
                    found = list(pool.map(carried, (1, 2)))
            else:
                context = multiprocessing.get_context("spawn")
                with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
                    found = dask.compute(*map(dask.delayed(carried), (1, 2)), scheduler="processes", pool=pool)
        properties = {"$session_id": "session-a", "plan": "pro"}
        assert list(found) == [(1, "alice", properties), (2, "alice", properties)]

    @pytest.mark.parametrize(
        "function", [glob.glob, functools.partial(glob.glob, "/nowhere"), len, process_app.Callable()]
    )
    @pytest.mark.parametrize("inside", [True, False])
    def test_whatever_can_be_pickled_can_be_carried(self, acting, function, inside):
        """This holds for functions, partials, built-in functions and callable objects.

        They are called twice, inside a context and outside any.
        """
        with acting("alice") if inside else contextlib.nullcontext():
            once = pickle.loads(pickle.dumps(threads.carry(function)))
        twice = pickle.loads(pickle.dumps(once))
        argument = () if isinstance(function, functools.partial) else ("/nowhere",)
        assert once(*argument) == twice(*argument) == function(*argument)

    def test_outside_any_context_it_runs_without_one(self, acting):
        """This also holds where the other side has a context."""
        carried = pickle.loads(pickle.dumps(threads.carry(process_app.told)))
        with acting("bob"):
            assert carried(1)[1] is None
            assert now() == "bob"

    def test_what_is_no_json_stays_behind(self, acting):
        """The function is called all the same."""
        with acting("alice"):
            hogline.tag("cart", object())
            hogline.tag("plan", "pro")
            carried = pickle.loads(pickle.dumps(threads.carry(process_app.told)))
        assert carried(1) == (1, "alice", {"plan": "pro"})
