"""Import what is slow on first use, at a moment when no fork can interrupt the import.

A child that inherits a half-done import can never finish it, so a fork waits for the lock that
these imports hold.
"""

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import ModuleType

__all__ = ["hold_imports", "import_http_pool", "importing", "release_imports"]

_lock = threading.RLock()


def importing() -> "AbstractContextManager[object]":
    """Return a block that delays a fork.

    Whatever is imported inside it is complete in every child.
    """
    return _lock


def import_http_pool() -> "ModuleType":
    """Return the module of connection pools.

    Everything is imported with it that a request would make the interpreter import later.
    """
    with importing():
        import email.utils  # noqa: F401 - parses the dates in Retry-After
        import encodings.idna  # noqa: F401 - resolving a host name imports it

        from hogline.delivery import http_pool

        return http_pool


def hold_imports() -> None:
    """Wait for running imports before a fork, and delay new ones."""
    _lock.acquire()


def release_imports() -> None:
    """Let imports go on, in the parent and in the child of a fork."""
    _lock.release()
