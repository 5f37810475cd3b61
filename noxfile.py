"""Environments of their own, read from the table of frameworks: `nox -s frameworks [-- NAME ...] [pytest options]`.

Without a name: the frameworks that pin old versions of others, at the versions of `requirements/<environment>.txt`; and what
is most important of the suite at the oldest versions of all the others, which live together in few environments.
With names: all of the suite for these, others than those that pin at their oldest versions; or one of the environments.
`nox -s frameworks -- soak`: the long soak of those that pin, kept for the documentation.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))

from tests.support import oldest
from tests.support.frameworks import FRAMEWORKS

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["frameworks"]

ROOT = Path(__file__).parent
ROWS = {row.name: row for row in FRAMEWORKS}
LIBRARIES = {library.name: library for library in oldest.LIBRARIES}
OLDEST = oldest.environments()
PINNED = {row.environment for row in FRAMEWORKS if row.environment}
SUITE = [f"tests/interceptors/test_{name}.py" for name in ("context", "exceptions", "facts", "options", "responses")]
ENDINGS = "tests/interceptors/test_processes.py::test_what_was_captured_right_before_the_end_arrives"
# The contract suite's own needs where no requirements file has them; the framework's word on versions goes first.
TOOLS = nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), "contract")


def _newer_python() -> str | None:
    """Return a Python that Django 6 takes, if this machine has one. Pyenv has names for those that it does not hand out."""
    found = (shutil.which(f"python3.{minor}") for minor in (14, 13, 12))
    return next(
        (
            path
            for path in found
            if path and not subprocess.run([path, "-V"], capture_output=True, check=False).returncode  # noqa: S603
        ),
        None,
    )


NEWER_PYTHON = _newer_python()


@nox.session(venv_backend="none")
def frameworks(session: nox.Session) -> None:
    """Choose the environments, each of which is a session."""
    if "soak" in session.posargs:
        for name in sorted({ROWS[name].environment for name in session.posargs if name in ROWS} & PINNED or PINNED):
            session.notify(f"soak({name})")
        return
    known = [*ROWS, *LIBRARIES, *OLDEST]
    names = [word for word in session.posargs if word in known]
    options = [word for word in session.posargs if word not in known]
    if unknown := [word for word in options if not word.startswith("-")]:
        session.error(f"no framework {unknown[0]!r}; the table has {', '.join(known)}")
    for name in names or [*sorted(PINNED), *OLDEST]:
        session.notify(f"{'together' if name in OLDEST else 'framework'}({name})", options)
    if not names and NEWER_PYTHON:
        session.notify("django_tasks", options)


@nox.session(default=False)
@nox.parametrize("environment", [nox.param(name, id=name) for name in OLDEST])
def together(session: nox.Session, environment: str) -> None:
    """Ask one promise of each kind, on one server, at the oldest versions of everything that lives in *environment*."""
    session.install("--require-hashes", "-r", f"requirements/{environment}.txt")
    session.install("--no-deps", "--no-build-isolation", "--editable", "sdk")
    rows, libraries = oldest.living_in(environment)
    tests = dict.fromkeys([*oldest.ESSENCE, *(test for library in libraries for test in library.essence)])
    environ = {"HOGLINE_FRAMEWORKS": " ".join(row.name for row in rows), "HOGLINE_ONE_SERVER": "1"}
    session.run("python", "-m", "pytest", *tests, *_reporting(f"oldest/{environment}"), *session.posargs, env=environ)


@nox.session(default=False)
@nox.parametrize("name", [nox.param(name, id=name) for name in (*ROWS, *LIBRARIES)])
def framework(session: nox.Session, name: str) -> None:
    """Run the contract suite for one row, and what is special to it, in an environment that holds nothing else."""
    if name in LIBRARIES:
        session.install(*LIBRARIES[name].oldest, *TOOLS)
        session.install("--no-deps", "--no-build-isolation", "--editable", "sdk")
        session.run("python", "-m", "pytest", *LIBRARIES[name].tests, *_reporting(f"oldest/{name}"), *session.posargs)
        return
    row = ROWS[name]
    rows = [name]
    if row.environment:
        rows = [other.name for other in FRAMEWORKS if other.environment == row.environment]
        session.install("--require-hashes", "-r", f"requirements/{row.environment}.txt")
    elif row.oldest:
        session.install(*row.oldest, *TOOLS)
    else:
        session.error(f"{name} names no oldest version, and ./dev test asks its newest")
    session.install("--no-deps", "--no-build-isolation", "--editable", "sdk")
    more = (f"tests/interceptors/test_{name}.py", "tests/system/test_examples.py")
    special = [path for path in more if row.environment and (ROOT / path).exists()]
    reporting = _reporting(f"{'results' if row.environment else 'oldest'}/{name}")
    session.run(
        "python", "-m", "pytest", *SUITE, ENDINGS, *special, *reporting, *session.posargs,
        env={"HOGLINE_FRAMEWORKS": " ".join(rows)},
    )  # fmt: skip


@nox.session(default=False)
@nox.parametrize("name", [nox.param(name, id=name) for name in sorted(PINNED)])
def soak(session: nox.Session, name: str) -> None:
    """Soak what needs an environment of its own, which takes minutes."""
    session.install("--require-hashes", "-r", f"requirements/{name}.txt")
    session.install("--no-deps", "--no-build-isolation", "--editable", "sdk")
    session.install("psutil")
    rows = " ".join(row.name for row in FRAMEWORKS if row.environment == name)
    session.run("python", "-m", "benchmarks.soak", "--record", env={"HOGLINE_FRAMEWORKS": rows})


@nox.session(python=NEWER_PYTHON, default=False)
def django_tasks(session: nox.Session) -> None:
    """Ask the queues' promises of Django 6's own tasks; elsewhere its backport stands for them, since we begin at Python 3.11."""
    if NEWER_PYTHON is None:
        session.skip("Django 6 needs Python 3.12")
    session.install("django>=6", "django-tasks-db", *TOOLS)
    session.install("--no-deps", "--no-build-isolation", "--editable", "sdk")
    options = ["-q", "-W", "ignore::DeprecationWarning", *session.posargs]
    session.run("python", "-m", "pytest", "tests/propagation/test_tasks.py", "-k", "django", *options)


def _reporting(results: str) -> list[str]:
    """Return pytest's options: workers as in `./dev test`, and where results go: the documentation's table is of the newest."""
    workers = os.environ.get("TEST_WORKERS", "4")
    # That old versions of frameworks use what newer versions of others deprecate is not ours to see to.
    ignored = ["-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning"]
    return ["-q", "-n", workers, "--dist", "worksteal", *ignored, f"--junitxml=.cache/{results}.xml"]
