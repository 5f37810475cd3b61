"""Decide whether an exception of a request is an HTTP answer, noise, or a mistake.

Exceptions are recognised by class, never by attribute: errors of upstream clients have a
`.status_code` too, and are this server's 500 (rule `identify-by-class`). Classes are compared by
qualified name along the MRO, so no framework is imported. Source:
docs/internals/frameworks.md#what-an-exception-means.
"""

from collections.abc import Callable, Iterator
from typing import Any

from hogline.safe_attributes import own_attribute

__all__ = ["chain", "http_status", "is_exit", "is_noise", "is_within", "leaves", "ungrouped", "unwrapped"]

_MAX_LEAVES = 1000  # as posthog-python: docs/internals/capture-protocol.md#mechanism
_MAX_CHAIN = 50
_MAX_WRAPPERS = 5  # Litestar adds one for each layer that handles exceptions


def _attribute(name: str) -> Callable[[Any], Any]:
    return lambda error: getattr(error, name)


def _werkzeug(error: Any) -> Any:
    # abort(Response(...)) has no code, but its response has a status.
    return error.code if error.code is not None else error.get_response().status_code


def _nestipy(error: Any) -> int:
    # It may hold a code of a remote procedure; the adapter answers those with 500.
    return int(error.status_code) if 100 <= int(error.status_code) <= 599 else 500


def _falcon(error: Any) -> Any:
    # A number since Falcon 4; before that only the status line, such as "404 Not Found".
    return error.status_code if hasattr(error, "status_code") else str(error.status)[:3]


def _websocket(error: Any) -> int:
    # A close code, not a status: 1011 and the private range from 4500 mean "server error".
    return 500 if error.code == 1011 or error.code >= 4500 else 400


def _fixed(status: int) -> Callable[[Any], int]:
    return lambda _error: status


# (module, class) -> its HTTP status. The nearest class in the MRO wins.
_STATUS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("aiohttp.web_exceptions", "HTTPException"): _attribute("status"),
    ("blacksheep.exceptions", "HTTPException"): _attribute("status"),
    ("bottle", "HTTPResponse"): _attribute("status_code"),
    ("django.core.exceptions", "BadRequest"): _fixed(400),
    ("django.core.exceptions", "PermissionDenied"): _fixed(403),
    ("django.core.exceptions", "SuspiciousOperation"): _fixed(400),
    ("django.http.multipartparser", "MultiPartParserError"): _fixed(400),
    ("django.http.response", "Http404"): _fixed(404),
    ("ellar.common.exceptions.api.base", "APIException"): _attribute("status_code"),
    ("ellar.common.exceptions.validation", "RequestValidationError"): _fixed(422),
    ("ellar.common.exceptions.validation", "WebSocketRequestValidationError"): _fixed(422),
    ("falcon.http_error", "HTTPError"): _falcon,
    ("falcon.http_status", "HTTPStatus"): _falcon,
    ("fastapi.exceptions", "RequestValidationError"): _fixed(422),
    ("fastapi.exceptions", "WebSocketRequestValidationError"): _fixed(422),
    # Raised by a resolver on purpose; a mistake inside a resolver is its `original_error`.
    ("graphql.error.graphql_error", "GraphQLError"): _fixed(400),
    ("litestar.exceptions.http_exceptions", "HTTPException"): _attribute("status_code"),
    ("litestar.exceptions.websocket_exceptions", "WebSocketException"): _websocket,
    ("nest.common.exceptions", "HttpException"): _attribute("status_code"),
    ("nestipy.common.exception.http", "HttpException"): _nestipy,
    ("ninja.errors", "HttpError"): _attribute("status_code"),
    ("ninja.errors", "ValidationError"): _fixed(422),
    ("ninja.errors", "AuthenticationError"): _fixed(401),
    ("pyramid.httpexceptions", "HTTPException"): _attribute("status_int"),
    ("rest_framework.exceptions", "APIException"): _attribute("status_code"),
    ("sanic.exceptions", "SanicException"): _attribute("status_code"),
    ("starlette.exceptions", "HTTPException"): _attribute("status_code"),
    ("starlette.exceptions", "WebSocketException"): _websocket,
    ("strawberry.exceptions", "MissingQueryError"): _fixed(400),
    ("strawberry.schema.exceptions", "CannotGetOperationTypeError"): _fixed(400),
    ("strawberry.schema.exceptions", "InvalidOperationTypeError"): _fixed(400),
    ("tornado.web", "HTTPError"): _attribute("status_code"),
    ("werkzeug.exceptions", "HTTPException"): _werkzeug,
}

# The client went away, or control flow: no mistake. Source:
# docs/internals/frameworks.md#not-errors.
_NOISE: frozenset[tuple[str, str]] = frozenset(
    {
        ("arq.worker", "Retry"),
        ("arq.worker", "RetryJob"),
        ("celery.exceptions", "Ignore"),
        ("celery.exceptions", "Reject"),
        ("celery.exceptions", "Retry"),
        ("blacksheep.exceptions", "MessageAborted"),
        ("blacksheep.server.websocket", "WebSocketDisconnectError"),
        ("channels.exceptions", "AcceptConnection"),
        ("channels.exceptions", "DenyConnection"),
        ("channels.exceptions", "StopConsumer"),
        ("django.core.exceptions", "RequestAborted"),
        ("django.http.request", "UnreadablePostError"),
        ("dramatiq.errors", "RateLimitExceeded"),
        ("dramatiq.errors", "Retry"),
        ("dramatiq.middleware.middleware", "SkipMessage"),
        ("falcon.errors", "WebSocketDisconnected"),
        ("huey.exceptions", "CancelExecution"),
        ("huey.exceptions", "RateLimitExceeded"),
        ("huey.exceptions", "RetryTask"),
        ("huey.exceptions", "TaskLockedException"),
        ("litestar.exceptions.websocket_exceptions", "WebSocketDisconnect"),
        ("quart.wrappers.request", "ClientDisconnectedError"),
        ("starlette.requests", "ClientDisconnect"),
        ("starlette.websockets", "WebSocketDisconnect"),
        ("taskiq.exceptions", "NoResultError"),
        ("tornado.web", "Finish"),
        ("webob.request", "DisconnectionError"),
        ("werkzeug.exceptions", "ClientDisconnected"),
    }
)

# By the module that defines them: asyncio's, gevent's, trio's.
_EXITS = {("asyncio.exceptions", "CancelledError"), ("greenlet", "GreenletExit"), ("trio", "Cancelled")}

# Not subclasses of Exception, so that a task's `except Exception` does not stop them; still
# mistakes.
_MISTAKES = frozenset({("dramatiq.middleware.time_limit", "TimeLimitExceeded")})

# Frameworks raise these *from* the real error once a response has begun.
# Source: docs/internals/frameworks.md#groups-and-wrappers.
_WRAPPER_TEXTS = (
    "Caught handled exception, but response already started",  # Starlette
    "Exception caught after response started",  # Litestar
)
# BaseHTTPMiddleware raises this when the app was cancelled or sent nothing.
_NO_RESPONSE = "No response returned."


def http_status(error: BaseException) -> int | None:
    """Return the status of a known framework's HTTP exception; None for others."""
    for kind in type(error).__mro__:
        read = _STATUS.get((kind.__module__, kind.__qualname__))
        if read is not None:
            try:
                return int(read(error))
            except Exception:
                return None
    return None


def is_noise(error: BaseException) -> bool:
    """Return whether *error* is cancellation, exit, a lost client, or control flow.

    A group counts if all its members do.
    """
    return all(_is_noise(leaf) for leaf in leaves(error))


def is_exit(error: BaseException) -> bool:
    """Return whether *error* ends a process, task, generator or greenlet.

    A group counts if all its members do.
    """
    return all(
        issubclass(type(leaf), SystemExit | KeyboardInterrupt | GeneratorExit)
        or any((kind.__module__, kind.__qualname__) in _EXITS for kind in type(leaf).__mro__)
        for leaf in leaves(error)
    )


def unwrapped(error: BaseException) -> BaseException:
    """Return the error that a framework's own wrappers were raised from.

    At most a few wrappers are followed. Without a wrapper, this is *error* itself.
    """
    context = own_attribute(error, "__context__")
    if isinstance(context, BaseException) and _is_refusal(error):
        return context
    for _ in range(_MAX_WRAPPERS):
        cause = own_attribute(error, "__cause__")
        if not (isinstance(cause, BaseException) and isinstance(error, Exception)):
            break
        try:
            text = str(error)
        except Exception:
            break
        if not any(wrapper in text for wrapper in _WRAPPER_TEXTS):
            break
        error = cause
    return error


def _is_refusal(error: BaseException) -> bool:
    """Return whether `contextlib` raised *error* by assigning an exception's `__traceback__`.

    Source: docs/internals/rules.md#no-contextlib-around-app.
    """
    trace, before = own_attribute(error, "__traceback__"), None
    while trace is not None and trace.tb_next is not None:
        before, trace = trace, trace.tb_next
    if trace is None or before is None or trace.tb_frame.f_code.co_name != "__setattr__":
        return False
    return bool(before.tb_frame.f_globals.get("__name__") == "contextlib")


def ungrouped(error: BaseException, package: str) -> BaseException:
    """Return the only member of a group from a task group of *package*, else *error* itself.

    *package* is the framework's name.
    """
    if issubclass(type(error), BaseExceptionGroup):
        members: tuple[BaseException, ...] = error.exceptions  # type: ignore[attr-defined]
        if len(members) == 1 and _maker(error).partition(".")[0] == package:
            return members[0]
    return error


def _maker(error: BaseException) -> str:
    """Return the module whose task group raised *error*."""
    trace, maker = own_attribute(error, "__traceback__"), ""
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__") or ""
        if module.partition(".")[0] not in ("anyio", "asyncio"):
            maker = module
        trace = trace.tb_next
    return maker


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error*, and the exceptions that it was raised from or while handling."""
    for _ in range(_MAX_CHAIN):
        if error is None:
            return
        yield error
        cause = own_attribute(error, "__cause__")
        error = cause if cause is not None else own_attribute(error, "__context__")


def is_within(wanted: BaseException, error: BaseException | None) -> bool:
    """Return whether *wanted* is *error* itself, or in its chain of causes and contexts."""
    return any(link is wanted for link in chain(error))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield *error*, or the members of an exception group at every depth."""
    waiting, seen = [error], 0
    while waiting and seen < _MAX_LEAVES:
        item = waiting.pop()
        seen += 1
        # Not `isinstance`: for other types it reads the object's `__class__`, which may raise.
        if issubclass(type(item), BaseExceptionGroup):
            waiting.extend(item.exceptions)  # type: ignore[attr-defined]
        else:
            yield item


def _is_noise(error: BaseException) -> bool:
    # CancelledError, GeneratorExit, SystemExit, KeyboardInterrupt and trio's Cancelled are no
    # Exceptions.
    if not isinstance(error, Exception):
        return (type(error).__module__, type(error).__qualname__) not in _MISTAKES
    if any((kind.__module__, kind.__qualname__) in _NOISE for kind in type(error).__mro__):
        return True
    return type(error) is RuntimeError and error.args == (_NO_RESPONSE,)
