"""What interceptors and propagation have to do, row by row; and which tests show it, read from their docstrings.

A test shows row 9 when the first line of its docstring says "Behaviour 9". The documentation's page of behaviours is made of this.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SAID = re.compile(r"\(?\b[Bb]ehaviours? ((?:\d+(?:, | and )?)+)\)?")

ROWS: dict[str, dict[int, str]] = {
    "Context, ASGI": {
        1: "A stranger's request after alice's big one, on the same connection, has no person, session or tags.",
        2: "Pipelined requests have each their own ids.",
        3: "What a handler for 500 captures has the request's person, URL and route.",
        4: "Handlers, dependencies, background tasks, streams and sockets, synchronous and asynchronous, see the same ids.",
        5: "They do with middleware that runs the app in another task, on either side.",
        6: "A task that outlives its response keeps its visitor, and disturbs nobody.",
        7: "`asyncio.to_thread` sees the context; a bare thread sees nothing, never another request's.",
        8: "Many concurrent requests with random waits: every event is its own request's.",
        9: "What a stream's end captures after its client left belongs to its own visitor, or to nobody.",
        10: "A generator that is collected later changes nothing in the request that happens to run.",
        11: "After a nested request in the same process the outer one's context is back.",
        12: "Lifespan, unknown scope types and their errors pass unchanged.",
        13: "The app gets the server's own scope object.",
        14: "Several interceptors on one stack are one event, with the inner route.",
    },
    "Context, WSGI": {
        15: "A thread that serves again begins empty.",
        16: "Events from inside a streamed body carry the visitor.",
        17: "A client that leaves closes the body once, and leaves nothing behind.",
        18: "A body that is never closed leaves nothing behind either.",
        19: "A whole body keeps its `Content-Length`.",
        20: "The server's file wrapper is returned as the identical object.",
        21: "`stream_with_context`, whose teardown runs twice, ends nothing twice.",
        22: "A test client inside a view gives the outer context back.",
        23: "An exit leaves the thread clean.",
        24: "Greenlets inherit nothing of each other, and leak nothing.",
    },
    "Exceptions, seen and judged": {
        25: "An HTTP exception from the threshold on is one handled event with its status.",
        26: "One below it is none; a router's 404 and 405 are none.",
        27: "A handler for a status changes nothing.",
        28: "What a registered handler answered is one event with the status that left, or judged by it.",
        29: "A request that fails validation is none; a response that does is one.",
        30: "An ordinary error is one event where frameworks swallow it.",
        31: "`abort(503)` and `abort(Response(...))` are one each, with the right status.",
        32: "Flask: a view that returns None, hooks that raise, before and after.",
        33: "Django: `Http404`, `PermissionDenied` and `SuspiciousOperation` are none.",
        34: "Django: a view that returns None, other middleware, templates.",
        35: "Django: other middleware's `process_exception` hides nothing.",
        36: "REST framework's and Ninja's exceptions are judged by status.",
        37: "aiohttp: redirects are none, unavailability is one, a timeout is one with 504.",
        38: "Tornado: seen although `log_exception` is overridden; `Finish` and `send_error` are none.",
        39: "Sanic: an error in a stream has the status that was sent; a request that was cancelled is none.",
        40: "Bottle: a generator that fails, before its first item and after it.",
        41: "Pyramid: an exception view's answer is one event with its status; a returned exception is none.",
        42: "Ellar: a route with interceptors of its own is seen.",
        43: "Nestipy: concurrent visitors are never mixed, although its requests are.",
        44: "GraphQL: a resolver's error is one event although HTTP says 200; a syntax error is none.",
        45: "gRPC: judged by code; streams too.",
        46: "An upstream's status is not this server's.",
        47: "An error after the response began is the original exception, with the status that was sent.",
        48: "An error in a background task has the status that was sent.",
    },
    "Exceptions, never captured": {
        49: "Clients that went away.",
        50: "Cancellation, also in disguise.",
        51: "A connection that a database lost is captured all the same.",
        52: "Exits and generators' ends propagate.",
        53: "Groups are judged by their members.",
    },
    "Exceptions, identity and interference": {
        54: "Seen by many, captured once; by hand too.",
        55: "One instance raised in two requests is two events.",
        56: "Exceptions that refuse attributes reach the server as they are.",
        57: "Exceptions whose methods raise change nothing.",
        58: "Responses are the same with and without us, byte for byte.",
        59: "A synchronous exception handler still runs in its thread.",
        60: "The last frame is the line that raised.",
        61: "Callbacks that raise are logged once; the request is served.",
        62: "A capture that fails does no harm.",
        63: "Falcon: the app's own error reporter is still called.",
        64: "Sentry and OpenTelemetry work beside us, in any order.",
    },
    "Request facts": {
        65: "A bad Host changes nothing but the URL.",
        66: "The route is the whole template, never the concrete path.",
        67: "The path is what the browser asked for, under mounts too.",
        68: "Header bytes of any kind are cleaned, and disturb nothing.",
        69: "What servers leave out, or spell otherwise, makes no wrong URL.",
        70: "The address is the visitor's, as far as proxies are trusted.",
        71: "URLs hold no passwords, and secrets are masked.",
    },
    "Processes": {
        72: "uWSGI with a client that was made before it forked: events arrive.",
        73: "Forks after import send once, and what is theirs.",
        74: "SIGTERM to uvicorn loses nothing.",
        75: "Nor does it to other servers.",
    },
    "Queues and clients": {
        76: "Celery: tasks, nested ones, retries, eager ones; what is no error is none.",
        77: "Dramatiq: a delayed or retried message keeps its first publisher's ids.",
        78: "RQ: an exception's event leaves before the work horse ends.",
        79: "Taskiq, Huey, arq, APScheduler: ids arrive; the next task on the thread begins empty.",
        80: "HTTP clients: headers to listed hosts only, over redirects too.",
        81: "aiohttp's client: middleware of one request replaces the session's; no header, no crash.",
    },
}


@dataclass(frozen=True)
class Shown:
    """A test that shows a row."""

    path: str
    name: str
    sentence: str


def shown() -> dict[int, list[Shown]]:
    """Return the tests of each row that any test names."""
    found: dict[int, list[Shown]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
                continue
            text = (ast.get_docstring(node) or "").partition("\n")[0]
            said = _SAID.search(text)
            if said is None:
                continue
            sentence = f"{text[: said.start()].rstrip()}{text[said.end() :].lstrip(': ')}"
            test = Shown(str(path.relative_to(ROOT)), node.name, sentence)
            for number in re.findall(r"\d+", said[1]):
                found.setdefault(int(number), []).append(test)
    return found


ELSEWHERE: dict[int, str] = {}
"""Rows that no test can show, each with its reason."""
