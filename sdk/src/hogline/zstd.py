"""Zstandard: from Python 3.14's standard library, or from the package `backports.zstd`."""

from collections.abc import Callable
from importlib import import_module

__all__ = ["zstd_compressor"]


def zstd_compressor() -> Callable[[bytes], bytes] | None:
    """Return a function that compresses bytes into one zstd frame, or None if there is none."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            compress: Callable[[bytes], bytes] = import_module(name).compress
        except ImportError:
            continue
        return compress
    return None
