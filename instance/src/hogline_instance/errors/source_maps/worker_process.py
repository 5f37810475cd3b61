"""The parent's side of the worker: it starts it, asks it, and ends it when it takes too long."""

import json
import logging
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["MapWorker"]

_log = logging.getLogger("hogline.instance")
_START_S = 60.0
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_COMMAND = (sys.executable, "-m", "hogline_instance.errors.source_maps.worker")


class MapWorker:
    """One process that is started at the first question. Safe to use from any thread."""

    def __init__(self, timeout_s: float = 10.0) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def find(
        self, key: str, positions: Sequence[tuple[int, int]], load: Callable[[], bytes]
    ) -> list[dict[str, Any]] | str:
        """Return the original positions, or the text of the failure.

        *load* returns the container; it is called when the worker does not know *key* yet.
        """
        with self._lock:
            try:
                answer = self._ask(key, positions, b"")
                if "missing" in answer:
                    blob = load()
                    if not blob:
                        return "its source map is missing"
                    answer = self._ask(key, positions, blob)
            except (OSError, ValueError) as error:
                self._end()
                _log.warning("errors: applying the source map %s failed: %s", key[:100], str(error)[:300])
                return str(error)[:300]
        return str(answer["failure"]) if "failure" in answer else list(answer["found"])

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, key: str, positions: Sequence[tuple[int, int]], blob: bytes) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        request = json.dumps({"key": key, "positions": positions, "bytes": len(blob)}).encode() + b"\n"
        # A worker that does not read would block the write, so its end is planned beforehand.
        timer = threading.Timer(self._timeout_s, process.kill)
        timer.start()
        try:
            process.stdin.write(request + blob)
            process.stdin.flush()
            answer = self._line(process, self._timeout_s)
        finally:
            timer.cancel()
        found: dict[str, Any] = json.loads(answer)
        return found

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        self._process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own module
        self._line(self._process, _START_S)
        return self._process

    def _line(self, process: "subprocess.Popen[bytes]", timeout_s: float) -> bytes:
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                raise OSError(f"the source map took longer than {timeout_s:g} s")
        line = process.stdout.readline(_MAX_ANSWER_BYTES)
        if not line.endswith(b"\n"):
            raise OSError("the process that applies source maps ended; the map is too large or broken")
        return line

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # unwritten bytes of a request that was given up
                    pass
