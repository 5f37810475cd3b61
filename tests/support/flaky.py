"""Record flaky tests; CI fails when a test is flaky twice at the same commit.

Where `HOGLINE_FAILED` names a file, each pytest run appends its failures to it, one JSON object a
line (tests/conftest.py registers `FailureLog`). `.ci/run` repeats failed tests, and if they pass
then, calls `python -m tests.support.flaky FILE`. It adds the tests to `.cache/flaky.json`, prints
them, and exits with 1 if one was flaky at the same commit before.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / ".cache" / "flaky.json"
_RUNS_KEPT = 100


@dataclass(frozen=True)
class Failure:
    """A failed test and its first error."""

    test: str
    error: str


class FailureLog:
    """A pytest plugin that collects the failures of a run and appends them to a file at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._errors: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:  # a failed subtest is reported before its test, which only counts the failures
            self._errors.setdefault(report.nodeid, _error_of(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._errors.setdefault(report.nodeid, _error_of(report))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput") or not self._errors:  # workers pass their reports to the controller
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            for test, error in self._errors.items():
                file.write(json.dumps(asdict(Failure(test, error))) + "\n")


def _error_of(report: Any) -> str:
    """Return the line of a report that holds the error."""
    lines = report.longreprtext.splitlines()
    said = [line[1:].strip() for line in lines if line.startswith("E ")]
    return next(iter(said or [line for line in lines if line.strip()]), "no report")[:300]


def read_failures(path: Path) -> list[Failure]:
    """Return the failures in the file *path*, each test once, with its first error."""
    found: dict[str, Failure] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        failure = Failure(**json.loads(line))
        found.setdefault(failure.test, failure)
    return list(found.values())


def note(failures: list[Failure], commit: str, report: Path = REPORT) -> list[str]:
    """Add a run to the report; return the tests that were flaky in an earlier run of the same
    commit too.
    """
    runs = json.loads(report.read_text()) if report.exists() else []
    before = {flaky["test"] for run in runs if run["commit"] == commit for flaky in run["flaky"]}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    runs.append({"commit": commit, "at": at, "flaky": [asdict(failure) for failure in failures]})
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(runs[-_RUNS_KEPT:], indent=1) + "\n")
    return [failure.test for failure in failures if failure.test in before]


def main() -> int:
    path = Path(sys.argv[1])
    failures = read_failures(path)
    path.unlink(missing_ok=True)
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    commit = found.stdout.strip() or os.environ.get("GITHUB_SHA", "unknown")
    again = note(failures, commit)
    print(f"{len(failures)} flaky: failed, and passed when run again (all such runs: {REPORT.relative_to(ROOT)})")
    for failure in failures:
        print(f"  {failure.test}\n      {failure.error}")
    if again:
        print(f"flaky for the second time at {commit[:10]}, which fails this run:", *again, sep="\n  ")
    return 1 if again else 0


if __name__ == "__main__":
    sys.exit(main())
