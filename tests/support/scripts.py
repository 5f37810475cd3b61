"""Run scripts in new processes, with a client for the sink, so that forks, signals and exits are
real.
"""

import os
import subprocess
import sys
import textwrap
from typing import Any

from tests.support.sink import Sink

PRELUDE = """
import os, signal, sys, threading, time
from hogline import PostHog
client = PostHog("phc_test", host=os.environ["SINK"], flush_interval=60)
"""


def run_script(
    sink: Sink, script: str, *, environ: dict[str, str] | None = None, timeout_s: float = 60, **how: Any
) -> subprocess.CompletedProcess[str]:
    """Run *script* after the prelude, and return the result; *how* goes to `subprocess.run`."""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + textwrap.dedent(script)],
        env={**os.environ, "SINK": sink.url, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        **how,
    )


def output_of(sink: Sink, script: str, *, timeout_s: float = 60) -> str:
    """Run *script*, which must succeed, and return its output."""
    process = run_script(sink, script, timeout_s=timeout_s)
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr, process.stderr
    return process.stdout
