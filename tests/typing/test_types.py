"""Type checkers understand the public API: nothing in it is left for them to guess."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.tools import ROOT, require

USES = Path(__file__).with_name("uses.py")
MISTAKES = Path(__file__).with_name("mistakes.py")


def run(*command):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # pyright looks for packages with it
    environ = {**os.environ, "PATH": path, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, env=environ)


def test_mypy_reads_a_users_program():
    """Strictly, and every type is what the program says it is."""
    done = run(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=.cache/mypy-uses", str(USES))
    assert done.returncode == 0, done.stdout


def test_pyright_reads_a_users_program():
    """The other checker."""
    require("node")
    done = run(sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(USES))
    assert done.returncode == 0, done.stdout


def wrong_lines():
    lines = enumerate(MISTAKES.read_text().splitlines(), start=1)
    return {number for number, line in lines if line.endswith("# wrong")}


def test_mypy_reports_a_wrong_option_at_every_constructor():
    """A wrong name or type, each on its line, and nothing else."""
    done = run(
        sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=.cache/mypy-uses", "--no-pretty",
        "--ignore-missing-imports", str(MISTAKES),
    )  # fmt: skip
    found = {int(number) for number in re.findall(r"mistakes\.py:(\d+): error", done.stdout)}
    assert found == wrong_lines(), done.stdout


def test_pyright_reports_a_wrong_option_at_every_constructor():
    """The other checker, in its strict mode."""
    require("node")
    done = run(sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(MISTAKES))
    found = {int(number) for number in re.findall(r"mistakes\.py:(\d+):\d+ - error", done.stdout)}
    assert found == wrong_lines(), done.stdout


# Classes of libraries that have no types of their own, or are not installed beside the newest of
# the others.
UNTYPED = (
    "hogline.integrations.openfeature.",
    "hogline.interceptors.ellar.",
    "hogline.interceptors.nestipy.",
    "hogline.propagation.huey.",
)


def test_everything_public_has_a_type():
    """All that `import hogline` and its modules offer, apart from what libraries without types hand
    us.
    """
    require("node")
    done = run(
        sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--verifytypes", "hogline", "--ignoreexternal"
    )
    known = re.search(r"With known type: (\d+)", done.stdout)
    assert known, done.stdout + done.stderr
    assert int(known[1]) > 1000, done.stdout
    wrong, symbol = [], ""
    for line in done.stdout.splitlines():
        if re.match(r"hogline\.[\w.]+$", line):
            symbol = line
        elif "error:" in line and not symbol.startswith(UNTYPED):
            wrong.append(f"{symbol}: {line.strip()}")
    assert wrong == []
