"""Python's garbage collector and the C library's allocator, set for batches of thousands of events.

A batch of events is some hundred thousand objects without a cycle, and reference counts free them
all. By default the collector would look through them, and through everything that was imported,
many times during each batch: a fifth of the time that the steps take.

The rows of a batch are buffers of many megabytes. By default glibc learns to keep such buffers after
they are freed, and half of the process's own memory was kept for nobody after a million events.
"""

import ctypes
import gc
import platform

__all__ = ["collect_nothing", "collect_rarely", "return_large_buffers", "return_unused"]

_NEW_OBJECTS = 50_000  # a few MB: cycles that the pages leave behind wait that long
_GENERATIONS = 20
_MMAP_THRESHOLD = -3  # `M_MMAP_THRESHOLD` of <malloc.h>
_LARGE_BYTES = 2**20


def collect_nothing() -> None:
    """Collect nothing until `collect_rarely`.

    Imports leave hardly any garbage, and looking for it takes a sixth of the time of a start.
    """
    gc.disable()


def collect_rarely() -> None:
    """Exempt the objects that exist now, and collect only after many new ones."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _GENERATIONS, _GENERATIONS)


def return_large_buffers() -> None:
    """Let glibc give each large buffer back to the system as soon as it is freed."""
    if _glibc is not None:
        _glibc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def return_unused() -> None:
    """Let glibc give back what it keeps; this takes some milliseconds, of the calling thread."""
    if _glibc is not None:
        _glibc.malloc_trim(0)


_glibc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
