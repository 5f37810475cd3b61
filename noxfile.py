"""Tests that need an environment other than the checkout's `.venv`. `./dev` runs the sessions.

`wheels` builds both packages and tests what was built. `lowest` runs the tests with the oldest
versions of the packages' own dependencies, `newest_python` on the newest Python of this machine.

`frameworks [-- NAME ...] [pytest options]` reads the table of frameworks. Without a name, it runs
the frameworks that pin old versions of other packages, each in its own environment
(`requirements/<environment>.txt`), and the most important tests for the oldest versions of all the
others, which share a few environments. With the name of a framework, it runs the whole suite for
it, at its oldest version unless it pins; with the name of an environment, that environment.
`frameworks -- soak` runs the long soak of the frameworks that pin, and records it for the
documentation.

`nightly` runs the promises about frameworks on every server of each row, and those about delivery
for every way to start and to end each process model; `./dev test` runs most of them on one. It also
compares the answers of 200 flags for 1,000 people between all SDKs; `./dev test` compares a few.
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
# What the contract suite needs where no requirements file lists it. The framework's own pins take
# precedence.
TOOLS = nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), "contract")
# Old versions of packages use what newer versions of others deprecate. We cannot change that.
IGNORE_DEPRECATIONS = ("-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning")


def _newest_python() -> str | None:
    """Return the path of this machine's newest Python, if it has one from 3.12 to 3.14.

    Free-threaded builds are left out. pyenv has a command for every Python that it installed but
    starts only the chosen ones, so its folder is searched too, and each candidate is run once.
    """
    for minor in (14, 13, 12):
        name = f"python3.{minor}"
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        for path in (
            shutil.which(name),
            *sorted(map(str, pyenv.glob(f"versions/3.{minor}.*[0-9]/bin/{name}")), reverse=True),
        ):
            if path and not subprocess.run([path, "-V"], capture_output=True, check=False).returncode:  # noqa: S603
                return path
    return None


NEWEST_PYTHON = _newest_python()


@nox.session(venv_backend="none")
def frameworks(session: nox.Session) -> None:
    """Schedule one session for each environment that the arguments choose."""
    if "soak" in session.posargs:
        for name in sorted({ROWS[name].environment for name in session.posargs if name in ROWS} & PINNED or PINNED):
            session.notify(f"soak({name})")
        return
    known = [*ROWS, *LIBRARIES, *OLDEST, "gradio"]
    names = [word for word in session.posargs if word in known]
    options = [word for word in session.posargs if word not in known]
    if unknown := [word for word in options if not word.startswith("-")]:
        session.error(f"no framework {unknown[0]!r}; the table has {', '.join(known)}")
    for name in names or [*sorted(PINNED), *OLDEST, "gradio"]:
        kind = "together" if name in OLDEST else "framework"
        session.notify("gradio" if name == "gradio" else f"{kind}({name})", options)
    if not names and NEWEST_PYTHON:
        session.notify("django_tasks", options)


@nox.session(venv_backend="none", default=False)
def nightly(session: nox.Session) -> None:
    """Run every test about a framework on every server of its row, in the checkout's `.venv`.

    `./dev test` runs those that depend on the framework alone on one server of each row. The
    process models run with every way to start them; `./dev test` lets the ways take turns. The
    flags of all SDKs are compared in full, with one worker: each would make the flags anew. An
    instance is killed twenty times while it merges people.
    """
    suite = [*SUITE, ENDINGS, "tests/interceptors/test_soak.py", "tests/sdk/delivery/test_matrix.py"]
    session.run(
        "python", "-m", "pytest", *suite, *_reporting("nightly"), *session.posargs, env={"HOGLINE_EVERY_SERVER": "1"}
    )
    session.run(
        "python", "-m", "pytest", "tests/system/test_flag_consistency.py", *session.posargs,
        env={"HOGLINE_FLAG_DEFINITIONS": "200", "HOGLINE_FLAG_PEOPLE": "1000"},
    )  # fmt: skip
    session.run(
        "python", "-m", "pytest", "tests/instance/people/test_killed_merges.py", "--timeout=600", *session.posargs,
        env={"HOGLINE_MERGE_KILLS": "20"},
    )  # fmt: skip


@nox.session(default=False)
@nox.parametrize("environment", [nox.param(name, id=name) for name in OLDEST])
def together(session: nox.Session, environment: str) -> None:
    """Run one test of each kind, on one server, for every framework that shares *environment*."""
    session.install("--require-hashes", "-r", f"requirements/{environment}.txt")
    session.install("--no-deps", "--no-build-isolation", "--editable", "sdk")
    rows, libraries = oldest.living_in(environment)
    tests = dict.fromkeys([*oldest.ESSENCE, *(test for library in libraries for test in library.essence)])
    environ = {"HOGLINE_FRAMEWORKS": " ".join(row.name for row in rows), "HOGLINE_ONE_SERVER": "1"}
    session.run("python", "-m", "pytest", *tests, *_reporting(f"oldest/{environment}"), *session.posargs, env=environ)


@nox.session(default=False)
@nox.parametrize("name", [nox.param(name, id=name) for name in (*ROWS, *LIBRARIES)])
def framework(session: nox.Session, name: str) -> None:
    """Run the contract suite and its own tests for one framework, in its own environment."""
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
        session.error(f"{name} names no oldest version, and ./dev test runs its newest")
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
    """Run the soak for a framework that needs an environment of its own. It takes minutes."""
    session.install("--require-hashes", "-r", f"requirements/{name}.txt")
    session.install("--no-deps", "--no-build-isolation", "--editable", "sdk")
    session.install("psutil")
    rows = " ".join(row.name for row in FRAMEWORKS if row.environment == name)
    session.run("python", "-m", "benchmarks.soak", "--record", env={"HOGLINE_FRAMEWORKS": rows})


@nox.session(python=NEWEST_PYTHON, default=False)
def django_tasks(session: nox.Session) -> None:
    """Test Django 6's own tasks.

    `./dev test` uses their backport, because Django 6 needs a newer Python than our oldest.
    """
    if NEWEST_PYTHON is None:
        session.skip("Django 6 needs Python 3.12")
    session.install("django>=6", "django-tasks-db", *TOOLS)
    session.install("--no-deps", "--no-build-isolation", "--editable", "sdk")
    options = ["-q", "-W", "ignore::DeprecationWarning", *session.posargs]
    session.run("python", "-m", "pytest", "tests/propagation/test_tasks.py", "-k", "django", *options)


@nox.session(default=False)
def gradio(session: nox.Session) -> None:
    """Test the queue of Gradio, which is no framework of the table."""
    session.install("--require-hashes", "-r", "requirements/gradio.txt")
    session.install("--no-deps", "--no-build-isolation", "--editable", "sdk")
    session.run("python", "-m", "pytest", "-q", "-W", "ignore", "tests/interceptors/test_gradio.py", *session.posargs)


@nox.session(default=False)
def wheels(session: nox.Session) -> None:
    """Build both packages into `dist/`, check them, and test the wheels in an empty environment.

    uv builds each wheel from its sdist, so that both are complete. Only what the wheels require is
    installed beside them; pytest runs outside of that environment.
    """
    built = ROOT / "dist"
    shutil.rmtree(built, ignore_errors=True)
    for package in ("sdk", "instance"):
        session.run(
            "uv", "build", "--quiet", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(built), package,
            external=True,
        )  # fmt: skip
    files = sorted(str(path) for path in built.iterdir() if path.suffix in {".whl", ".gz"})
    session.run(sys.executable, "-m", "twine", "check", "--strict", *files, external=True)
    wheels = [path for path in files if path.endswith(".whl")]
    session.install("--reinstall", "--constraint", "requirements/demo.txt", *wheels)
    python = Path(session.bin) / "python"
    session.run("uv", "pip", "check", "--python", str(python), external=True)
    session.run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/wheels", *session.posargs,
        external=True, env={"INSTALLED_PYTHON": str(python)},
    )  # fmt: skip


@nox.session(default=False)
def lowest(session: nox.Session) -> None:
    """Run the packages' own tests with the lower bounds of everything that they depend on."""
    session.install("--require-hashes", "-r", "requirements/lowest.txt")
    _test_packages(session, "lowest", *IGNORE_DEPRECATIONS)


@nox.session(python=NEWEST_PYTHON, default=False)
def newest_python(session: nox.Session) -> None:
    """Run the packages' own tests on the newest Python that this machine has."""
    if NEWEST_PYTHON is None:
        session.skip("this machine has no Python newer than 3.11")
    session.install("--require-hashes", "-r", "requirements/dev.txt")
    _test_packages(session, "newest-python")


def _test_packages(session: nox.Session, results: str, *more: str) -> None:
    """Run the tests of the SDK and the instance in the session's environment."""
    session.install("--no-deps", "--no-build-isolation", "--editable", "sdk", "--editable", "instance")
    workers = os.environ.get("TEST_WORKERS", "4")
    options = ["-q", "-n", workers, "--dist", "worksteal", f"--junitxml=.cache/{results}.xml"]
    session.run("python", "-m", "pytest", "tests/sdk", "tests/instance", *options, *more, *session.posargs)


def _reporting(results: str) -> list[str]:
    """Return pytest's options: the workers, and the file of results that the documentation reads."""
    workers = os.environ.get("TEST_WORKERS", "4")
    return ["-q", "-n", workers, "--dist", "worksteal", *IGNORE_DEPRECATIONS, f"--junitxml=.cache/{results}.xml"]
