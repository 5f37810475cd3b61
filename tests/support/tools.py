"""Tools that only some tests need: Node.js, npm packages, a browser, Redis, PostgreSQL.

An absent tool skips the test with a reason; CI turns that into a failure.

`HOGLINE_REQUIRE` holds the names that must not be skipped, separated by spaces: "node browser redis
postgres".
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_NPM_CACHE = ROOT / ".cache" / "npm"
_EXECUTABLES = {
    "node": ("node",),
    "npm": ("npm",),
    "browser": ("chromium", "chromium-browser", "google-chrome"),
    "redis": ("redis-server", "valkey-server"),
    "postgres": ("initdb",),
}
# npm packages by exact version, so that all runs test the same code.
NPM_VERSIONS = {"posthog-js": "1.449.2", "posthog-node": "5.70.0", "esbuild": "0.28.2"}


def _missing(name: str, reason: str) -> None:
    if name in os.environ.get("HOGLINE_REQUIRE", "").split():
        pytest.fail(f"HOGLINE_REQUIRE names {name!r}, but {reason}")
    pytest.skip(reason)


def require(name: str) -> str:
    """Return the path of the tool *name* ("node", "npm", "browser", "redis", "postgres"), or skip
    the test with a reason.
    """
    for executable in _EXECUTABLES[name]:
        if path := shutil.which(executable):
            return path
        # Debian keeps PostgreSQL's programs off the PATH, in a folder for each version.
        if name == "postgres" and (found := sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{executable}"))):
            return str(found[-1])
    _missing("node" if name == "npm" else name, f"no {' or '.join(_EXECUTABLES[name])} on PATH")
    raise AssertionError


def npm_package(name: str) -> Path:
    """Return the folder of the npm package *name* at its pinned version, installing it into
    .cache/npm once.
    """
    require("node")
    npm = require("npm")
    prefix = _NPM_CACHE / f"{name}-{NPM_VERSIONS[name]}"
    package = prefix / "node_modules" / name
    done = prefix / "installed"
    if not done.exists():
        prefix.mkdir(parents=True, exist_ok=True)
        lock = prefix / "lock"
        import fcntl

        with lock.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not done.exists():
                command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(prefix)]
                run = subprocess.run(
                    [*command, f"{name}@{NPM_VERSIONS[name]}"], capture_output=True, text=True, timeout=300, check=False
                )
                if run.returncode:
                    _missing("node", f"npm could not install {name}: {run.stderr.strip()[-300:]}")
                done.touch()
    return package
