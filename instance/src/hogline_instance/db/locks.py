"""A lock among processes that share one database.

SQLite gets a lock file beside the database, PostgreSQL an advisory lock.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

__all__ = ["exclusive"]


@contextmanager
def exclusive(engine: Engine, file: Path | None, name: str) -> Iterator[None]:
    """Hold the lock *name* of the database. The system releases it when the process dies."""
    if file is not None:
        with _file_lock(file.with_name(f"{file.name}.{name}.lock")):
            yield
    elif engine.dialect.name == "postgresql":
        with _advisory_lock(engine, name):
            yield
    else:  # no other process can open a database in memory
        yield


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _advisory_lock(engine: Engine, name: str) -> Iterator[None]:
    # A session-level lock needs its own connection: it must outlive the transactions that are
    # made while it is held.
    number = int.from_bytes(hashlib.sha256(f"hogline.{name}".encode()).digest()[:8], signed=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": number})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": number})
