"""Paging of lists: a page's start from the query, and the URL of the next page."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Query, Request

from hogline_instance.events.cursor import BadCursorError, Cursor
from hogline_instance.web.errors import bad_request

__all__ = ["next_url", "page_start", "read_cursor"]

_T = TypeVar("_T")


def page_start(
    cursor: Annotated[str | None, Query(description="Start of the page, taken from `next`")] = None,
) -> Cursor | None:
    """Return the cursor of the requested page; None for the first page. A FastAPI dependency."""
    return read_cursor(cursor, Cursor.decode)


def read_cursor(text: str | None, decode: Callable[[str], _T]) -> _T | None:
    """Return *text* decoded by *decode*, or None without one. Raises ApiError: it is invalid."""
    try:
        return decode(text) if text else None
    except BadCursorError as error:
        raise bad_request("cursor", str(error)) from error


def next_url(request: Request, cursor: Cursor | None) -> str | None:
    """Return the whole URL of the page that starts at *cursor*, or None at the end."""
    return None if cursor is None else str(request.url.include_query_params(cursor=cursor.encode()))
