"""The id of this process, without asking the kernel for each event.

A system call costs a busy server more than a microsecond. On Linux, the kernel empties a page of
memory in the child of every fork (`MADV_WIPEONFORK`), whether Python's hooks run or not, so a byte
of such a page shows whether the known id is still the id of this process.
"""

import os
import sys
from typing import Any

__all__ = ["current_pid"]

_MADV_WIPEONFORK = 18  # <asm-generic/mman-common.h>; the module mmap has no name for it
_getpid = os.getpid
_pid = 0


def _wiped_page() -> Any:
    """Return memory that is zero in the child of a fork, or None where there is none."""
    if sys.platform != "linux":
        return None
    try:
        import mmap

        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
    except (ImportError, OSError, ValueError):  # a kernel before 4.14
        return None
    return page


_page = _wiped_page()


def _remember() -> int:
    global _pid  # noqa: PLW0603 - the one id of the process
    _pid = _getpid()
    if _page is not None:
        _page[0] = 1
    return _pid


if _page is None:
    current_pid = _getpid
else:
    _known = _page

    def current_pid() -> int:
        """Return `os.getpid()`."""
        return _pid if _known[0] else _remember()
