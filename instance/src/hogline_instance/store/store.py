"""ClickHouse through clickhouse-connect: embedded (`chdb://`, in process) or a cluster's URL; the same SQL for both."""

import contextlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from hogline_instance.exceptions import RowsRefusedError, StoreError

__all__ = ["EVENTS_TABLE", "Store"]

_log = logging.getLogger("hogline.instance")
EVENTS_TABLE = "analytics.events"
_MAX_READERS = 8  # questions at the same time; more wait, and the engine uses all cores for each as it is
# async_insert off: the answer to an insert of ours means that it is written.
# Errors that lie in the rows; every other one (disk, memory, network) passes, and the same rows are taken later.
_ROWS_FAULTS = frozenset(
    {
        "ARGUMENT_OUT_OF_BOUND", "ILLEGAL_COLUMN", "INCORRECT_DATA", "TOO_DEEP_RECURSION", "TOO_LARGE_STRING_SIZE", "TYPE_MISMATCH",
        "UNKNOWN_ELEMENT_OF_ENUM", "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    }
)  # fmt: skip
_FAULT = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")
_INSERT = {
    "async_insert": 0,
    "input_format_json_read_objects_as_strings": 1,
    "date_time_input_format": "basic",
    "max_partitions_per_insert_block": 0,
}


class Store:
    """Opens *url*; safe from any thread.

    Each question has a client to itself, since a shared one would serialise its users (docs/internals/engine.md#chdb-in-a-process). Clients are
    kept for the next question, and inserts never wait for a reader.
    """

    def __init__(self, url: str, *, query_max_s: float, query_max_bytes: int) -> None:
        self._url = url
        self._limits = {"max_execution_time": query_max_s, "max_memory_usage": query_max_bytes, "readonly": 1}
        if not url.startswith("chdb:"):
            # A server's profile may forbid readonly=1 clients to send settings; 2 allows settings and no writes.
            self._limits["readonly"] = 2
        self._reading = threading.BoundedSemaphore(_MAX_READERS)
        self._idle: list[Any] = []
        self._writing = threading.Lock()
        self._writer: Any = None

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, object]]:
        """Return the rows of a SELECT whose `{name:Type}` placeholders are bound by the engine, never pasted.

        Raises StoreError: the engine refused or ran out of its limits.
        """
        try:
            with self._reader() as client:
                result = client.query(sql, parameters=dict(parameters or {}), settings=self._limits)
        except Exception as error:
            raise StoreError(f"the store could not answer: {error}") from error
        return [dict(row) for row in result.named_results()]

    def insert_events(self, rows: bytes, deduplication_token: str) -> None:
        """Insert *rows*, one JSON object each line. The same token again inserts nothing.

        Source: docs/internals/engine.md#chdb-in-a-process.

        Raises StoreError: nothing, or only part of it, was written; insert again with the same token.  Raises
        RowsRefusedError: a row is none, so the same rows would be refused again.
        """
        settings = {**_INSERT, "insert_deduplication_token": deduplication_token}
        try:
            with self._writing:
                self._own_writer().raw_insert(EVENTS_TABLE, insert_block=rows, fmt="JSONEachRow", settings=settings)
        except Exception as error:
            kind = RowsRefusedError if _lies_in_the_rows(str(error)) else StoreError
            raise kind(f"the store did not take an insert: {error}") from error

    def migrate(self) -> None:
        """Apply the numbered schema files that this store has not seen yet, in order.

        Raises StoreError: it cannot be opened, or refuses a statement.
        """
        try:
            with self._writing:
                self._apply(self._own_writer())
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"the store {_without_password(self._url)} cannot be opened: {error}") from error

    def _apply(self, client: Any) -> None:
        client.command("CREATE DATABASE IF NOT EXISTS analytics ENGINE = Atomic")
        client.command(
            "CREATE TABLE IF NOT EXISTS analytics.schema_migrations"
            " (name String, applied_at DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY name"
        )
        applied = {row["name"] for row in self.query("SELECT name FROM analytics.schema_migrations")}
        folder = files("hogline_instance.store") / "schema"
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".sql") and file.name not in applied:
                for statement in _statements(file.read_text()):
                    client.command(statement)
                client.insert("analytics.schema_migrations", [[file.name]], column_names=["name"])
                _log.info("store: applied %s", file.name)

    def close(self) -> None:
        """Close every client; questions that still run end with an error."""
        for client in [self._writer, *self._idle]:
            if client is not None:
                client.close()
        self._writer = None
        self._idle.clear()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Any]:
        with self._reading:
            try:
                client = self._idle.pop()
            except IndexError:
                client = self._open()
            try:
                yield client
            finally:
                self._idle.append(client)

    def _own_writer(self) -> Any:
        if self._writer is None:
            self._writer = self._open()
        return self._writer

    def _open(self) -> Any:
        import clickhouse_connect  # the engine is 500 MB of library: only who opens a store loads it

        return clickhouse_connect.get_client(dsn=self._url)


def _lies_in_the_rows(message: str) -> bool:
    # The engine's own name for the error comes last; what stands before it may quote the row.
    names = _FAULT.findall(message)
    return bool(names) and (names[-1] in _ROWS_FAULTS or names[-1].startswith("CANNOT_PARSE_"))


def _without_password(url: str) -> str:
    return re.sub(r"://[^/@]*@", "://***@", url)


def _statements(text: str) -> list[str]:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]
