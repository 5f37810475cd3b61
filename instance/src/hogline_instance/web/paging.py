"""Paging of lists: a page's start from the query, and the URL of the next page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Query, Request

from hogline_instance.events.cursor import BadCursorError, Cursor
from hogline_instance.web.errors import bad_request

__all__ = ["PageRange", "activity_page", "next_url", "offset_page", "page_range", "page_start", "read_cursor"]

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


@dataclass(frozen=True, slots=True)
class PageRange:
    """The part of a list that a request wants, as `limit` and `offset`."""

    limit: int
    offset: int


def page_range(
    limit: Annotated[int, Query(description="Results per page", ge=1, le=1_000)] = 100,
    offset: Annotated[int, Query(description="Results to skip", ge=0, le=10_000_000)] = 0,
) -> PageRange:
    """Return the requested part of a list. A FastAPI dependency."""
    return PageRange(limit, offset)


def offset_page(
    request: Request, wanted: PageRange, results: Sequence[object], *, count: int | None, has_more: bool | None = None
) -> dict[str, object]:
    """Return *results* in PostHog's envelope `{count, next, previous, results}`.

    Without *count* the envelope has none, and *has_more* says whether there is a next page.
    """
    more = wanted.offset + len(results) < count if count is not None else bool(has_more)
    body: dict[str, object] = {} if count is None else {"count": count}
    body["next"] = _offset_url(request, wanted.limit, wanted.offset + wanted.limit) if more else None
    before = max(wanted.offset - wanted.limit, 0)
    body["previous"] = _offset_url(request, wanted.limit, before) if wanted.offset else None
    return {**body, "results": results}


def activity_page(results: Sequence[object], count: int, limit: int, page: int) -> dict[str, object]:
    """Return a page of an activity log in PostHog's envelope; the first page is 1."""
    return {
        "results": results, "next": f"?limit={limit}&page={page + 1}" if page * limit < count else None,
        "previous": f"?limit={limit}&page={page - 1}" if page > 1 else None, "total_count": count,
    }  # fmt: skip


def _offset_url(request: Request, limit: int, offset: int) -> str:
    # A key in the URL of a page would be stored by whoever keeps that URL.
    url = request.url.remove_query_params("personal_api_key")
    return str(url.include_query_params(limit=limit, offset=offset))
