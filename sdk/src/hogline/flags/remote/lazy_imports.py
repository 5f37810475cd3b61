"""Import the flags API where no fork can interrupt the import.

A forked child cannot finish a half-done import.
"""

from typing import TYPE_CHECKING

from hogline.delivery.lazy_imports import import_http_pool, importing

if TYPE_CHECKING:
    from hogline.flags.remote.api import FlagRequests

__all__ = ["import_flag_requests"]


def import_flag_requests() -> "type[FlagRequests]":
    """Return the class that makes requests about flags."""
    with importing():
        import_http_pool()
        from hogline.flags.remote.api import FlagRequests

        return FlagRequests
