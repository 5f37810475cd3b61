"""A condition on thousands of values that is one bound value.

A list of parameters would be limited in length (SQLite binds at most 32,766), and SQLAlchemy would
write a name for each of them.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Select, String, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

__all__ = ["fetch_rows", "is_one_of"]


def is_one_of(session: Session, column: Any, texts: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that *column* is one of *texts*, of any number."""
    if session.get_bind().dialect.name == "postgresql":
        return column == any_(bindparam(None, list(texts), type_=ARRAY(String)))  # type: ignore[no-any-return]
    values = func.json_each(bindparam(None, orjson.dumps(list(texts)).decode(), type_=String)).table_valued("value")
    return column.in_(select(values.c.value))  # type: ignore[no-any-return]


def fetch_rows(session: Session, query: Select[Any]) -> Sequence[Sequence[Any]]:
    """Return the rows of *query*, whose columns are texts and numbers without a type of their own.

    SQLite returns them in one text. Between two rows, sqlite3 releases the interpreter's lock, and
    under load it waits milliseconds to get the lock back.
    """
    if session.get_bind().dialect.name != "sqlite":
        return session.execute(query).all()
    columns = query.subquery().c
    text = session.scalar(select(func.json_group_array(func.json_array(*columns), type_=String)))
    return orjson.loads(text or "[]")  # type: ignore[no-any-return]
