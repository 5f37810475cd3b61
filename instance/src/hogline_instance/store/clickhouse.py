"""ClickHouse through clickhouse-connect: in this process (`chdb://`), or a server."""

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from hogline_instance.exceptions import RowsRefusedError, StoreError
from hogline_instance.store.dialect import Cluster, Dialect, SingleNode
from hogline_instance.store.migrate import apply_schema

__all__ = ["EVENTS_TABLE", "Store"]

EVENTS_TABLE = "analytics.events"
# Most concurrent queries; others wait, since the engine uses all cores for each query anyway.
_MAX_READERS = 8
# Errors that the rows themselves cause. Every other error (disk, memory, network) is temporary, and
# the insert is retried.
_ROW_FAULTS = frozenset(
    {
        "ARGUMENT_OUT_OF_BOUND", "ILLEGAL_COLUMN", "INCORRECT_DATA", "TOO_DEEP_RECURSION", "TOO_LARGE_STRING_SIZE", "TYPE_MISMATCH",
        "UNKNOWN_ELEMENT_OF_ENUM", "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    }
)  # fmt: skip
_FAULT = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")
# The engine lists the tables, so that a new one needs no entry here.
_TEAM_TABLES = (
    "SELECT DISTINCT table FROM system.columns WHERE database = 'analytics' AND name = 'team_id' AND table IN"
    " (SELECT name FROM system.tables WHERE database = 'analytics' AND endsWith(engine, 'MergeTree'))"
)
_INSERT = {
    "async_insert": 0,  # an insert must return only when it is written
    "input_format_json_read_objects_as_strings": 1,
    "date_time_input_format": "basic",
    "max_partitions_per_insert_block": 0,
}


@contextlib.contextmanager
def _engine_errors() -> Iterator[None]:
    """Turn any error of the engine or its client into a StoreError."""
    try:
        yield
    except Exception as error:
        raise StoreError(f"the store could not answer: {error}") from error


class Store:
    """Opens *url*; safe to use from any thread.

    With *cluster*, the tables are replicated and spread over its nodes.

    Each query has its own client, since a shared one would serialise them. Clients are reused, and
    inserts never wait for a query.
    Source: docs/internals/engine.md#chdb-in-a-process.
    """

    def __init__(self, url: str, *, query_max_s: float, query_max_bytes: int, cluster: str = "") -> None:
        self._url = url
        self._dialect: Dialect = Cluster(cluster) if cluster else SingleNode()
        self._limits = {"max_execution_time": query_max_s, "max_memory_usage": query_max_bytes, "readonly": 1}
        if not url.startswith("chdb:"):
            # A server's profile may forbid readonly=1 clients to send settings; 2 allows settings
            # and no writes.
            self._limits["readonly"] = 2
        self._reading = threading.BoundedSemaphore(_MAX_READERS)
        self._idle: list[Any] = []
        self._writing = threading.Lock()
        self._writer: Any = None
        self._changing = threading.Lock()
        self._changer: Any = None
        self._pinging = threading.Lock()
        self._health: Any = None

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, object]]:
        """Return the rows of a SELECT.

        The engine binds its `{name:Type}` placeholders to *parameters*.

        Raises StoreError: the engine refused the query, or it exceeded a limit.
        """
        with _engine_errors(), self._reader() as client:
            result = client.query(sql, parameters=dict(parameters or {}), settings=self._limits)
        return [dict(row) for row in result.named_results()]

    def ping(self) -> None:
        """Return when the store has responded. Raises StoreError: it does not respond.

        The check has its own client, so that it does not wait for queries.
        """
        with _engine_errors(), self._pinging:
            if self._health is None:
                self._health = self._open()
            self._health.query("SELECT 1 AS one")

    def insert_events(self, rows: bytes, deduplication_token: str) -> None:
        """Insert *rows*, one JSON object on each line. The same token again changes nothing.

        Raises StoreError: nothing, or only a part, was written; insert again with the same token.
        Raises RowsRefusedError: one of the rows is not valid, so the store would refuse them again.
        Source: docs/internals/engine.md#chdb-in-a-process.
        """
        self.insert(EVENTS_TABLE, rows, {"insert_deduplication_token": deduplication_token})

    def insert(self, table: str, rows: bytes, settings: Mapping[str, object] | None = None) -> None:
        """Insert *rows*, one JSON object on each line, into *table*.

        Raises StoreError: nothing, or only a part, was written.
        Raises RowsRefusedError: one of the rows is not valid.
        """
        settings = {**_INSERT, **self._dialect.insert_settings, **(settings or {})}
        try:
            with self._writing:
                self._own_writer().raw_insert(table, insert_block=rows, fmt="JSONEachRow", settings=settings)
        except Exception as error:
            kind = RowsRefusedError if _is_fault_of_rows(str(error)) else StoreError
            raise kind(f"the store did not take an insert: {error}") from error

    def change(self, table: str, action: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run `ALTER TABLE` *table* *action*, an UPDATE or DELETE, on every node, and wait for it.

        Raises StoreError: the store refused it, or not every part is changed.
        """
        target = self._dialect.tables(table.removeprefix("analytics."))[0]
        try:
            with self._changing:
                if self._changer is None:
                    self._changer = self._open()
                self._changer.command(
                    f"ALTER TABLE {target} {action}", parameters=dict(parameters or {}), settings={"mutations_sync": 2}
                )
        except Exception as error:
            raise StoreError(f"the store could not change rows: {error}") from error

    def delete_team(self, team_id: int) -> None:
        """Delete every row of a project, from every table that has rows of projects.

        Raises StoreError: the store refused it, or a part remains; delete again.
        """
        names = {str(row["table"]).removesuffix("_local") for row in self.query(_TEAM_TABLES)}
        for name in sorted(names):
            self.change(name, "DELETE WHERE team_id = {team:UInt32}", {"team": team_id})

    def migrate(self) -> None:
        """Apply the numbered schema files that this store has not seen yet, in order.

        The caller makes sure that one process at a time does this.
        Raises StoreError: the store cannot be opened, or refuses a statement.
        """
        try:
            with self._writing:
                apply_schema(self._own_writer(), self._dialect)
        except Exception as error:
            raise StoreError(f"the store {_without_password(self._url)} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close every client; queries that still run end with an error."""
        for client in [self._writer, self._changer, self._health, *self._idle]:
            if client is not None:
                client.close()
        self._writer = self._changer = self._health = None
        self._idle.clear()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Any]:
        if not self._reading.acquire(timeout=self._limits["max_execution_time"]):
            raise StoreError("too many queries at once; try again in a moment")
        try:
            try:
                client = self._idle.pop()
            except IndexError:
                client = self._open()
            try:
                yield client
            finally:
                self._idle.append(client)
        finally:
            self._reading.release()

    def _own_writer(self) -> Any:
        if self._writer is None:
            self._writer = self._open()
        return self._writer

    def _open(self) -> Any:
        # Imported lazily: the library has 500 MB, and `hogline keys` does not need it.
        import clickhouse_connect

        return clickhouse_connect.get_client(dsn=self._url)


def _is_fault_of_rows(message: str) -> bool:
    # The engine's own name for the error comes last; the text before it may quote the row.
    names = _FAULT.findall(message)
    return bool(names) and (names[-1] in _ROW_FAULTS or names[-1].startswith("CANNOT_PARSE_"))


def _without_password(url: str) -> str:
    return re.sub(r"://[^/@]*@", "://***@", url)
