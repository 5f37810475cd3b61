"""Read the commit that is checked out from the files of `.git`, without starting git.

Source: https://git-scm.com/docs/gitrepository-layout. The reads are few and bounded. Whatever
cannot be read means that there is no commit.
"""

import os
import stat

__all__ = ["find_commit"]

_MAX_LEVELS = 12
_MAX_FILE_BYTES = 4 * 1024
_MAX_PACKED_REFS_BYTES = 2 * 1024 * 1024
_LENGTHS = (40, 64)  # SHA-1, SHA-256
_HEXADECIMAL = frozenset("0123456789abcdef")


def find_commit(folder: str) -> str | None:
    """Return the commit of the repository that *folder* lies in, or None.

    The user's home folder is no repository of an app, even if it holds the user's own files in git.
    """
    home = os.path.expanduser("~")  # noqa: PTH111 - pathlib costs start-up time
    for _ in range(_MAX_LEVELS):
        if folder == home:
            return None
        git = os.path.join(folder, ".git")  # noqa: PTH118
        try:
            mode = os.stat(git).st_mode  # noqa: PTH116
        except (OSError, ValueError):
            parent = os.path.dirname(folder)  # noqa: PTH120
            if parent == folder:
                return None
            folder = parent
            continue
        if stat.S_ISDIR(mode):
            return _head(git)
        link = _read(git)  # in a worktree or a submodule: "gitdir: <path>"
        if not link.startswith("gitdir:"):
            return None
        return _head(os.path.join(folder, link.removeprefix("gitdir:").strip()))  # noqa: PTH118
    return None


def _head(git: str) -> str | None:
    head = _read(os.path.join(git, "HEAD"))  # noqa: PTH118
    if not head.startswith("ref:"):
        return _checked(head)
    reference = head.removeprefix("ref:").strip()
    if not reference.startswith("refs/") or ".." in reference:
        return None
    common = _read(os.path.join(git, "commondir"))  # noqa: PTH118 - only a worktree has it
    shared = os.path.join(git, common) if common else git  # noqa: PTH118
    for place in dict.fromkeys((git, shared)):
        if commit := _checked(_read(os.path.join(place, reference))):  # noqa: PTH118
            return commit
    for line in _read(os.path.join(shared, "packed-refs"), _MAX_PACKED_REFS_BYTES).splitlines():  # noqa: PTH118
        commit_text, _, name = line.partition(" ")
        if name == reference:
            return _checked(commit_text)
    return None


def _read(path: str, max_bytes: int = _MAX_FILE_BYTES) -> str:
    """Return the beginning of a regular file as text, or '' where there is none."""
    try:
        # A pipe would block the app.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return ""
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(max_bytes).decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return ""


def _checked(text: str) -> str | None:
    return text if len(text) in _LENGTHS and _HEXADECIMAL.issuperset(text) else None
