"""A condition on thousands of values that is one bound value.

A list of parameters would be limited in length (SQLite binds at most 32,766), and SQLAlchemy would
write a name for each of them.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, String, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

__all__ = ["is_one_of"]


def is_one_of(session: Session, column: Any, texts: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that *column* is one of *texts*, of any number."""
    if session.get_bind().dialect.name == "postgresql":
        return column == any_(bindparam(None, list(texts), type_=ARRAY(String)))  # type: ignore[no-any-return]
    values = func.json_each(bindparam(None, orjson.dumps(list(texts)).decode(), type_=String)).table_valued("value")
    return column.in_(select(values.c.value))  # type: ignore[no-any-return]
