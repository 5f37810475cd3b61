"""The tests of exceptions share these scripts, which run, and die, in processes of their own."""

import os
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import asyncio, os, signal, sys, threading, time
from hogline import PostHog
posthog = PostHog("phc_test", host=os.environ["SINK"], flush_interval=60, project_root=os.environ["ROOT"], {options})
"""


@pytest.fixture
def run(sink, tmp_path):
    """Run *script* as a file of its own after the prelude; return the finished process."""

    def run_script(script, *, options="capture_exceptions=True", before="", status=None, arguments=()):
        file = tmp_path / "script.py"
        file.write_text(before + PRELUDE.format(options=options) + textwrap.dedent(script))
        process = subprocess.run(
            [sys.executable, "-W", "ignore", *arguments, str(file)],
            env=os.environ | {"SINK": sink.url, "ROOT": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert status is None or process.returncode == status, process.stderr
        return process

    return run_script
