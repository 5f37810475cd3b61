"""Find posthog-js, which records the clicks of whoever runs the demo, or install it with npm."""

import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["VERSION", "find", "install"]

VERSION = "1.449.2"


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "hogline" / f"posthog-js-{VERSION}"


def find() -> Path | None:
    """Return the package's `dist` folder if an earlier demo installed it."""
    scripts = _folder() / "node_modules" / "posthog-js" / "dist"
    return scripts if (scripts / "array.js").is_file() else None


def install() -> "subprocess.Popen[bytes] | None":
    """Start installing it with npm in the background; return None when npm is missing."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    command = [
        npm,
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        str(folder),
        f"posthog-js@{VERSION}",
    ]
    return subprocess.Popen(  # noqa: S603 - npm from PATH, with words of ours
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
