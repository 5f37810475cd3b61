"""Inserts with `on_conflict_do_...`, which SQLite and PostgreSQL have and SQLAlchemy's core has not."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

__all__ = ["upsert"]


def upsert(session: Session, table: Any) -> Any:
    """Return an INSERT into *table* that has `on_conflict_do_...`."""
    is_postgres = session.get_bind().dialect.name == "postgresql"
    return postgresql.insert(table) if is_postgres else sqlite.insert(table)
