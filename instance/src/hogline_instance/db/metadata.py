"""The base class of every SQL table, and the clock that their rows use."""

from datetime import UTC, datetime

from sqlalchemy.orm import DeclarativeBase

__all__ = ["Base", "aware", "utc_now"]


class Base(DeclarativeBase):
    """Base class of all tables. Alembic compares the database with its metadata."""


def utc_now() -> datetime:
    """Return the current time, for the default of a column."""
    return datetime.now(UTC)


def aware(moment: datetime) -> datetime:
    """Return *moment*, a time from SQL, with its zone, UTC, which SQLite does not keep."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
