"""Turn the words of `./dev test WORD ...`, such as a framework or an area, into pytest's arguments.

`./dev test flask` runs the contract suite for Flask's row, and every test file that imports its
interceptor. An area is a folder below tests/ (`delivery`), or the name of a test file (`ingest` for
test_ingest.py). Everything else goes to pytest unchanged.
"""

import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.frameworks import FRAMEWORKS

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
ROWS = {row.name: row for row in FRAMEWORKS}
CONTRACT = (
    *(
        f"tests/interceptors/test_{name}.py"
        for name in ("context", "exceptions", "facts", "options", "responses", "soak")
    ),
    "tests/interceptors/test_processes.py::test_what_was_captured_right_before_the_end_arrives",
)
"""The tests that run for every row of the table of frameworks."""
_WITH_VALUE = {"-k", "-m", "-n", "-p", "-o", "-c", "-r", "-W"}
_FLAGS = {"--lf", "--last-failed", "--ff", "--failed-first", "--sw", "--stepwise", "--co", "--collect-only", "--pdb"}


def select(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the environment variables and the arguments of pytest for *words*.

    Raises LookupError: a word names nothing, or a framework that this environment does not have.
    """
    rows: list[str] = []
    arguments: list[str] = []
    before = ""
    for word in words:
        if _is_selector(word, before):
            if word in ROWS:
                rows.append(word)
                arguments += [*CONTRACT, *_tests_of_row(word)]
            else:
                arguments += _tests_of_area(word)
        else:
            arguments.append(word)
        before = word
    return {"HOGLINE_FRAMEWORKS": " ".join(rows)} if rows else {}, list(dict.fromkeys(arguments)) if rows else arguments


def _is_selector(word: str, before: str) -> bool:
    """Return whether *word*, after the argument *before*, is a name and not a path, an option or a
    value.
    """
    takes_value = before in _WITH_VALUE or (before.startswith("--") and "=" not in before and before not in _FLAGS)
    return not (takes_value or word.startswith("-") or "/" in word or "::" in word or word.endswith(".py"))


def _tests_of_row(name: str) -> list[str]:
    row = ROWS[name]
    if row.environment:
        raise LookupError(f"{name} has an environment of its own: ./dev frameworks {name}")
    module = f"hogline.interceptors.{row.source.rstrip('.')} "
    paths = (path for path in sorted(TESTS.rglob("test_*.py")) if module in path.read_text())
    named = TESTS / "interceptors" / f"test_{name.replace('-', '_')}.py"
    return [str(path.relative_to(ROOT)) for path in dict.fromkeys((*([named] if named.exists() else []), *paths))]


def _tests_of_area(name: str) -> list[str]:
    areas = _areas()
    if name not in areas:
        close = difflib.get_close_matches(name, [*ROWS, *areas], n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"frameworks: {', '.join(ROWS)}"
        raise LookupError(f"{name!r} is no framework, no folder and no file of tests; {hint}")
    return areas[name]


def _areas() -> dict[str, list[str]]:
    """Return the folders of tests and the test files, by their names for `./dev test`."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for area in {*path.relative_to(TESTS).parent.parts}:
            folder = next(parent for parent in path.parents if parent.name == area)
            if str(folder.relative_to(ROOT)) not in found.setdefault(area, []):
                found[area].append(str(folder.relative_to(ROOT)))
    for path in sorted(TESTS.rglob("test_*.py")):
        found.setdefault(path.stem.removeprefix("test_"), []).append(str(path.relative_to(ROOT)))
    return found


def main() -> None:
    try:
        environ, arguments = select(sys.argv[1:])
    except LookupError as error:
        sys.exit(f"dev: {error.args[0]}")
    os.execve(sys.executable, [sys.executable, "-m", "pytest", *arguments], {**os.environ, **environ})


if __name__ == "__main__":
    main()
