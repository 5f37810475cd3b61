"""A function platform's process: it takes one event after the other, and may be frozen as soon as it has answered.

    python -m tests.support.invocations module:function

Each line of its input is an event and how it is to be handed over; each line of its output an answer. What the real platforms do
around a handler is this loop, and SIGSTOP.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_WAIT_S = 60.0


class _Context:
    """What Lambda hands over beside the event."""

    def __init__(self, left_s: float) -> None:
        self._end_s = time.monotonic() + left_s

    def get_remaining_time_in_millis(self) -> int:
        return int((self._end_s - time.monotonic()) * 1000)


class Platform:
    """A function's process, as a platform keeps it."""

    def __init__(self, target: str, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.invocations", target],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        )

    def invoke(self, event: Any, *, left_s: float = 60.0) -> dict[str, Any]:
        """Hand *event* over, and freeze the process with its answer."""
        if self.process.stdin is None or self.process.stdout is None:
            raise AssertionError
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(json.dumps({"event": event, "left_s": left_s}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)
        assert answer, f"the process ended with {self.process.poll()}"
        return json.loads(answer)

    def stop(self) -> None:
        """End it as a platform does: without a word, while it is frozen."""
        self.process.kill()
        self.process.communicate(timeout=_WAIT_S)


def _serve(target: str) -> None:
    module, _, name = target.partition(":")
    function = getattr(import_module(module), name)
    for line in sys.stdin:
        told = json.loads(line)
        try:
            if iscoroutinefunction(function):
                result = asyncio.run(function(told["event"], _Context(told["left_s"])))
            else:
                result = function(told["event"], _Context(told["left_s"]))
            answer = {"result": result}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
