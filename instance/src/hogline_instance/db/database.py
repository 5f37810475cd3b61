"""One SQL database: how it is opened, and the sessions and transactions that features use."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Select, create_engine, event
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from hogline_instance.db.locks import exclusive
from hogline_instance.db.migrate import migrate
from hogline_instance.db.writer import Writer
from hogline_instance.exceptions import SettingsError

__all__ = ["Database", "json_value"]

_BUSY_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 10


class Database:
    """The database at *url*; safe to use from any thread.

    Raises SettingsError: the URL names no database that can be opened.
    """

    def __init__(self, url: str) -> None:
        self._engine = _opened(url)
        # A transaction that reads and then writes must hold SQLite's write lock from its beginning:
        # taking the lock later fails at once when another process has written in between.
        self._writing_engine = self._engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        self._texts: dict[Select[Any], tuple[str, Sequence[str] | None]] = {}
        self._at_once: sqlite3.Connection | None = None
        self._writers: list[Writer] = []

    @property
    def dialect(self) -> str:
        """Return `sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @property
    def file(self) -> Path | None:
        """Return the file of a SQLite database; None for one in memory and for a server."""
        name = self._engine.url.database
        return Path(name) if self.dialect == "sqlite" and name and name != ":memory:" else None

    def session(self) -> Session:
        """Return a session for reading; `with database.session() as session:` closes it."""
        return Session(self._engine)

    def read(self, statement: Select[Any], parameters: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        """Return the rows of *statement*, a constant of its module, in a tenth of a session's time.

        All its values are named bind parameters, and JSON is read by `json_value`.
        Raises SQLAlchemyError: the database is unavailable.
        """
        text, given = self._compiled(statement, parameters)
        try:
            with closing(self._engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
                cursor.execute(text, given)
                return cursor.fetchall()
        except self._engine.dialect.dbapi.Error as error:  # type: ignore[union-attr]
            raise OperationalError(text, None, error, hide_parameters=True) from error

    def read_at_once(self, statement: Select[Any], parameters: Mapping[str, object]) -> Sequence[Sequence[Any]] | None:
        """Return what `read` returns, or None where that may have to wait. For one thread alone.

        The event loop may call it: SQLite reads a few pages of a file, and waits for no lock.
        """
        if self.file is None:
            return None
        text, given = self._compiled(statement, parameters)
        try:
            if self._at_once is None:
                self._at_once = sqlite3.connect(self.file, timeout=0, isolation_level=None, check_same_thread=False)
            return self._at_once.execute(text, given).fetchall()
        except sqlite3.Error:
            return None

    def _compiled(self, statement: Select[Any], parameters: Mapping[str, object]) -> tuple[str, Any]:
        """Return the text of *statement*, and *parameters* in the shape that its driver takes."""
        if statement not in self._texts:
            compiled = statement.compile(self._engine)
            self._texts[statement] = str(compiled), compiled.positiontup
        text, names = self._texts[statement]
        return text, parameters if names is None else [parameters[name] for name in names]

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session; its changes are committed at the end, or rolled back by an exception."""
        with Session(self._writing_engine) as session, session.begin():
            yield session

    def writer(self) -> Writer:
        """Return a writer for the thread that calls its `transaction`."""
        writer = Writer(self._writing_engine)
        self._writers.append(writer)
        return writer

    def exclusive(self, name: str) -> AbstractContextManager[None]:
        """Return a context that only one process using this database can be in at a time."""
        return exclusive(self._engine, self.file, name)

    def migrate(self) -> None:
        """Bring the tables up to date; processes that start at the same moment do it once.

        Raises SettingsError: the database cannot be reached, or a newer version of Hogline made it.
        """
        try:
            with self.exclusive("migrations"):
                migrate(self._engine, self.file)
        except (SQLAlchemyError, OSError) as error:
            raise _cannot_open(error) from error

    def close(self) -> None:
        """Close the connections."""
        if self._at_once is not None:
            self._at_once.close()
        for writer in self._writers:
            writer.close()
        self._engine.dispose()


def _opened(url: str) -> Engine:
    try:
        engine = create_engine(
            url,
            pool_pre_ping=not url.startswith("sqlite"),
            # Errors are logged and shown at /_ready, where content of events must not appear.
            hide_parameters=True,
            json_serializer=_json_text,
            json_deserializer=_json_value,
            connect_args=_connect_arguments(url),
        )
    # ImportError: the database's driver is not installed.
    except (SQLAlchemyError, ImportError) as error:
        raise _cannot_open(error) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _json_text(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except (TypeError, orjson.JSONEncodeError):  # an integer beyond 64 bits, or a lone surrogate
        return json.dumps(value)


def json_value(value: Any) -> Any:
    """Return the value of a JSON column that `Database.read` returned: text, or read by the driver."""
    return _json_value(value) if isinstance(value, str) else value


def _json_value(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def _connect_arguments(url: str) -> dict[str, object]:
    if url.startswith("sqlite"):
        return {"timeout": _BUSY_TIMEOUT_S}
    return {"connect_timeout": _CONNECT_TIMEOUT_S} if url.startswith("postgresql") else {}


def _configure_sqlite(connection: object, _record: object) -> None:
    # By default sqlite3 begins transactions implicitly, and never before DDL. With None it leaves
    # them to `_begin_sqlite`.
    connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _cannot_open(error: Exception) -> SettingsError:
    return SettingsError(
        f"database_url cannot be opened: {error}; PostgreSQL is postgresql+psycopg://user:password@host/name "
        "and needs `pip install 'hogline-instance[postgres]'`"
    )
