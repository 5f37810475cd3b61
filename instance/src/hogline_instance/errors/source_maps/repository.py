"""The git repository that a build lies in: its commit, branch and remote, as posthog-cli names them.

Source: docs/internals/management-api.md#symbol-sets-and-source-maps.
"""

import re
import subprocess
from pathlib import Path

__all__ = ["git_facts"]

_TIMEOUT_S = 10.0
_CREDENTIALS = re.compile(r"^(\w+://)[^@/]*@")


def git_facts(folder: Path) -> dict[str, str]:
    """Return what git says of *folder*'s repository; empty without git, or outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    # The URL may hold a password, which must not leave the machine; `git@` of ssh is none.
    remote = _git(folder, "config", "--get", "remote.origin.url")
    if not remote.startswith("ssh://"):
        remote = _CREDENTIALS.sub(r"\1", remote)
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    facts = {
        "commit_id": commit,
        "branch": "" if branch == "HEAD" else branch,  # detached
        "remote_url": remote,
        "repo_name": re.split(r"[/:]", remote.rstrip("/").removesuffix(".git"))[-1],
    }
    return {name: value for name, value in facts.items() if value}


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - git from PATH, with words of ours
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
