"""Pages of a list: where one starts, and the URL of the next."""

from typing import Annotated

from fastapi import Query, Request

from hogline_instance.events.cursor import BadCursorError, Cursor
from hogline_instance.web.errors import bad_request

__all__ = ["next_url", "page_start"]


def page_start(
    cursor: Annotated[str | None, Query(description="Where the page starts; `next` carries it")] = None,
) -> Cursor | None:
    """Return where the page starts; None at the newest. A FastAPI dependency."""
    try:
        return Cursor.decode(cursor) if cursor else None
    except BadCursorError as error:
        raise bad_request("cursor", str(error)) from error


def next_url(request: Request, cursor: Cursor | None) -> str | None:
    """Return the whole URL of the page that starts at *cursor*, or None at the end."""
    return None if cursor is None else str(request.url.include_query_params(cursor=cursor.encode()))
