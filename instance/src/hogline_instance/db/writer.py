"""The transactions of one thread, which learns whether anybody else wrote between two of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

__all__ = ["Transaction", "Writer"]

_VERSION = text("PRAGMA data_version")


class Transaction(NamedTuple):
    """A transaction of a `Writer`."""

    session: Session
    follows: bool
    """Whether nobody else has written since this writer's last transaction, so that what it knew
    then is still true."""


class Writer:
    """Begins one transaction after the other on *engine*, always on the thread that made it.

    SQLite has one writer at a time, and tells a connection whether another one has written. This
    needs a connection that nobody else uses. On a server others write meanwhile, so no transaction
    follows another.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._version: int | None = None  # None: no transaction of this connection is committed yet

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Yield a transaction; it is committed at the end, or rolled back by an exception."""
        if self._engine.dialect.name != "sqlite":
            with Session(self._engine) as session, session.begin():
                yield Transaction(session, follows=False)
            return
        known, self._version = self._version, None
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with Session(self._connection) as session, session.begin():
                version = session.scalar(_VERSION)  # the first statement, so the write lock is held
                yield Transaction(session, follows=version == known)
            self._version = version
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = self._version = None
