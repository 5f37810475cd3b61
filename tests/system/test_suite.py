"""The suite's own tools: `./dev test flask` selects, and CI reports flaky tests."""

import ast
import json
import os
import subprocess
import sys

import pytest

from tests.support.flaky import Failure, note, read_failures
from tests.support.selection import CONTRACT, ROOT, ROWS, select


def test_a_frameworks_name_selects_its_row_and_the_tests_that_import_it():
    """Other rows and other frameworks' tests are left out."""
    environ, arguments = select(["flask", "-k", "context"])
    assert environ == {"HOGLINE_FRAMEWORKS": "flask"}
    assert set(CONTRACT) < set(arguments)
    assert "tests/interceptors/test_flask.py" in arguments
    assert "tests/interceptors/test_django.py" not in arguments
    assert arguments[-2:] == ["-k", "context"]


def test_several_frameworks_share_a_run():
    """Each test file stands once in the arguments."""
    environ, arguments = select(["flask", "django"])
    assert environ == {"HOGLINE_FRAMEWORKS": "flask django"}
    assert len(arguments) == len(set(arguments))


@pytest.mark.parametrize(
    ("word", "paths"),
    [
        ("delivery", ["tests/sdk/delivery"]),
        ("interceptors", ["tests/interceptors"]),
        ("ingest", ["tests/instance/test_ingest.py"]),
        ("grpc", ["tests/interceptors/test_grpc.py"]),
    ],
)
def test_a_folder_or_a_file_is_selected_by_its_name(word, paths):
    """The table of frameworks is not narrowed."""
    environ, arguments = select([word])
    assert (environ, set(paths) - set(arguments)) == ({}, set())


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["tests/sdk", "-k", "context"],
        ["-k", "flask"],
        ["--deselect", "flask"],
        ["-n", "4", "--dist", "worksteal", "-q"],
        ["tests/sdk/test_event.py::test_a"],
    ],
)
def test_what_names_no_tests_goes_to_pytest_unchanged(words):
    """Options, the values of options, paths and node ids are pytest's."""
    assert select(words) == ({}, words)


def test_an_unknown_word_is_refused_with_names_that_come_close():
    """A typo would otherwise select nothing, or everything."""
    with pytest.raises(LookupError, match="did you mean flask"):
        select(["flsk"])


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.environment])
def test_a_framework_with_an_environment_of_its_own_is_refused(name):
    """The error gives the command that runs it."""
    with pytest.raises(LookupError, match=f"./dev frameworks {name}"):
        select([name])


def test_failures_of_a_run_are_logged_with_their_first_error(tmp_path):
    """A failing test, a failing subtest and a module that cannot be imported are in the log.

    A worker writes no log of its own.
    """
    (tmp_path / "test_it.py").write_text(
        "def test_fails():\n    assert 1 == 2\n"
        "def test_sub(subtests):\n    with subtests.test(n=1):\n        assert 3 == 4\n"
        "def test_passes(): pass\n"
    )
    (tmp_path / "test_broken.py").write_text("import no_such_module\n")
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_configure\n")
    log = tmp_path / "failed.jsonl"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "1",
            "-c",
            os.devnull,
            "--continue-on-collection-errors",
            str(tmp_path),
        ],
        cwd=tmp_path,
        env={**os.environ, "HOGLINE_FAILED": str(log), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=100,
        check=False,
    )
    errors = {failure.test.rpartition("/")[2]: failure.error for failure in read_failures(log)}
    assert errors.pop("test_broken.py").startswith("ModuleNotFoundError")
    assert errors == {"test_it.py::test_fails": "assert 1 == 2", "test_it.py::test_sub": "assert 3 == 4"}


def test_a_test_that_is_flaky_twice_at_one_commit_fails_the_run(tmp_path):
    """The first time is reported, and so is another commit's."""
    report = tmp_path / "cache" / "flaky.json"
    failures = [Failure("tests/test_a.py::test_a", "assert False"), Failure("tests/test_b.py::test_b", "TimeoutError")]
    assert note(failures[:1], "one", report) == []
    assert note(failures, "two", report) == []
    assert note(failures, "one", report) == ["tests/test_a.py::test_a"]
    runs = json.loads(report.read_text())
    assert [(run["commit"], len(run["flaky"])) for run in runs] == [("one", 1), ("two", 2), ("one", 2)]
    assert runs[0]["flaky"] == [{"test": "tests/test_a.py::test_a", "error": "assert False"}]


CONFIGURES = ("settings.configure", "django_project.configure")


def configures_django(path):
    """Return the names of the functions of *path* that configure Django; "" is the module itself."""

    def walk(node, function):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call) and ast.unparse(child.func).endswith(CONFIGURES):
                yield function
            yield from walk(child, child.name if isinstance(child, ast.FunctionDef) else function)

    return set(walk(ast.parse(path.read_text()), ""))


def imported_by(path):
    """Return the files of the suite that *path* imports, in whatever function."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            file = ROOT / (name.replace(".", "/") + ".py")
            if name.startswith("tests.") and file.exists():
                yield file


def test_only_the_fixture_project_configures_django_in_a_test_process():
    """Django takes its settings once in a process, and any test may come before one with `project`.

    Other tests configure Django in a process that they start.
    """
    pending = [path for path in (ROOT / "tests").rglob("*.py") if path.name.startswith(("test_", "conftest"))]
    loaded = set(pending)
    found = {}
    while pending:
        path = pending.pop()
        if functions := configures_django(path):
            found[str(path.relative_to(ROOT))] = functions
        more = set(imported_by(path)) - loaded
        loaded |= more
        pending += more
    assert found == {
        "tests/interceptors/conftest.py": {"project"},
        "tests/interceptors/apps/django_project.py": {"configure"},
    }
