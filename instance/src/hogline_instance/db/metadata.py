"""The base class of every SQL table, and the clock that their rows use."""

from datetime import UTC, datetime

from sqlalchemy.orm import DeclarativeBase

__all__ = ["Base", "utc_now"]


class Base(DeclarativeBase):
    """Base class of all tables. Alembic compares the database with its metadata."""


def utc_now() -> datetime:
    """Return the current time, for the default of a column."""
    return datetime.now(UTC)
