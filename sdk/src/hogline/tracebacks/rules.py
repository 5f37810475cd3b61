"""Rules: whose code is the app's own, by module and by path, and how much of a stack is kept."""

import functools
import os
import sys
from dataclasses import dataclass

__all__ = ["Rules", "place"]

_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
# A frozen interpreter may know neither its standard library's folder nor its own file.
_STDLIB = os.path.dirname(getattr(os, "__file__", None) or "") or None
_SCRIPTS = os.path.dirname(sys.executable or "") or None


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules for what is the app's own code, and for how much of a stack is kept."""

    project_root: str
    in_app_include: tuple[str, ...] = ()
    in_app_exclude: tuple[str, ...] = ()
    context_lines: int = 5
    """Source lines on each side."""
    redact_messages: bool = True
    """Whether secrets in messages are masked."""
    max_frames: int = 100
    """Frames of one exception; of deeper stacks the outermost and the innermost half stay."""
    max_value_characters: int = 10_000
    """The server cuts longer messages; docs/internals/instance-protocol.md#the-exception-event."""
    max_entries: int = 50
    """Exceptions of one chain."""
    max_list_bytes: int = 256 * 1024
    """Bytes of the whole list as JSON."""


@functools.lru_cache(maxsize=2048)
def place(filename: str, module: str | None, rules: Rules) -> tuple[str, str, bool]:
    """Return the path to show, the absolute path, and whether the code is the app's own."""
    if filename.startswith("<"):  # generated code: "<string>", "<frozen os>"
        return filename, filename, _by_module(module, rules) is True
    absolute = _absolute(filename)
    named = _by_module(module, rules)
    return _shown(filename, module), absolute, named if named is not None else _is_own(absolute, rules)


def _shown(filename: str, module: str | None) -> str:
    """Return the path from above the module's top-level package.

    For a top-level module, it is the base name.
    """
    if not module or "." not in module:
        return os.path.basename(filename)
    try:
        base = sys.modules[module.partition(".")[0]].__file__
    except Exception:
        # An entry of sys.modules may be any object.
        base = None
    if isinstance(base, str):
        above = os.path.join(os.path.dirname(os.path.dirname(base)), "")
        if filename.startswith(above):
            return filename[len(above) :]
    return filename


def _by_module(module: str | None, rules: Rules) -> bool | None:
    if _has_prefix(module, rules.in_app_exclude):
        return False
    return True if _has_prefix(module, rules.in_app_include) else None


def _has_prefix(module: str | None, prefixes: tuple[str, ...]) -> bool:
    return module is not None and any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def _is_own(path: str, rules: Rules) -> bool:
    """Return whether *path* is the app's own code.

    Such a path is below the root, and neither in the standard library, nor in a package, nor beside
    the interpreter.
    """
    if any(packages in path for packages in _PACKAGES) or _is_below(path, _STDLIB) or _is_below(path, _SCRIPTS):
        return False
    root = _absolute(rules.project_root)
    # A package that pip checks out into a virtualenv (its src folder) has no package's path. An app
    # may live inside a virtualenv, too.
    is_virtualenv = sys.prefix != sys.base_prefix
    if is_virtualenv and _is_below(path, sys.prefix) and not _is_below(os.path.join(root, ""), sys.prefix):
        return False
    # The working directory has no symbolic links in its name; the paths that modules were found on
    # may have.
    return _is_below(path, root) or _is_below(_real(path), _real(root))


def _is_below(path: str, folder: str | None) -> bool:
    return folder is not None and path.startswith(os.path.join(folder, ""))


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except (OSError, ValueError):  # the working directory is gone
        return path


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return path
