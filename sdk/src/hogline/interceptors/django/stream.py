"""Streamed bodies, which Django makes after the middleware returned.

They run in the WSGI server's loop or in an ASGI task.

Each step, and the response's `close`, run in the request's context.
Source: docs/internals/frameworks.md#wsgi-servers,
docs/internals/frameworks.md#generators-that-end-elsewhere and docs/internals/frameworks.md#django.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from hogline.context import Context, StepContext

__all__ = ["Followed", "Follower"]


class Followed(Protocol):
    """The part of an exchange that a follower needs."""

    status: int | None
    outer: Any
    may_be_handled: bool

    def note(self, error: BaseException, *, handled: bool) -> None:
        """Record an exception."""

    def close(self) -> None:
        """Judge and send the observed exceptions."""


class Follower:
    """Follows one response to its end.

    *root* is None where another interceptor handles the context.
    """

    def __init__(self, exchange: Followed, root: Context | None, context: Context | None, *, is_asgi: bool) -> None:
        self._exchange = exchange
        self._step = StepContext(root, context)
        self._is_asgi = is_asgi
        self._close: Any = None

    def follow(self, response: Any) -> None:
        """Wrap the parts of *response* that have not been made yet."""
        content = response.streaming_content
        if getattr(response, "is_async", False):
            response.streaming_content = self._read_async(content)
        else:
            response.streaming_content = self._read(content)
        # `close` is wrapped because the app's own closers, such as a generator's `finally`, are
        # registered already.
        self._close = response.close
        response.close = self.close

    def close(self) -> None:
        """Close the response in the request's context, `request_finished` included."""
        close, self._close = self._close, None
        if close is None:
            return
        try:
            with self._step:
                close()
        finally:
            self._exchange.close()

    def _read(self, content: Iterator[bytes]) -> Iterator[bytes]:
        begun = self._is_asgi
        while True:
            with self._step:
                try:
                    chunk = next(content, None)
                except BaseException as error:
                    self._failed(error, begun=begun)
                    raise
            if chunk is None:
                return
            begun = True  # servers send the head before the first chunk, even an empty one
            yield chunk

    async def _read_async(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            while True:
                with self._step:
                    try:
                        chunk = await anext(content, None)
                    except BaseException as error:
                        # Under WSGI, Django reads the whole body before the server gets any of it.
                        self._failed(error, begun=self._is_asgi)
                        raise
                if chunk is None:
                    return
                yield chunk
        finally:
            with self._step:
                await content.aclose()  # type: ignore[attr-defined]  # an async generator, Django's own

    def _failed(self, error: BaseException, *, begun: bool) -> None:
        exchange = self._exchange
        if not begun:
            # The server has sent nothing yet and answers 500.
            (exchange.outer or exchange).status = None
        exchange.note(error, handled=exchange.may_be_handled)
        exchange.close()
