"""Import the requests for flags where no fork can interrupt the import: a child cannot finish a half-done import."""

from typing import TYPE_CHECKING

from hogline.delivery.process import import_upload, importing

if TYPE_CHECKING:
    from hogline.flags.remote.api import FlagRequests

__all__ = ["import_flag_requests"]


def import_flag_requests() -> "type[FlagRequests]":
    """Return the class that asks the server about flags."""
    with importing():
        import_upload()
        from hogline.flags.remote.api import FlagRequests

        return FlagRequests
