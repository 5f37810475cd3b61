"""The store's schema: numbered files, each applied and recorded once.

`analytics.schema_migrations` holds the applied ones. A file is a Jinja template of SQL statements
that calls the functions of `Dialect`, so that it serves one node and a cluster. Add a file to
change a table; never edit one that a release had.
"""

import logging
from importlib.resources import files
from typing import Any

import orjson
from jinja2 import Environment, StrictUndefined

from hogline_instance.store.dialect import Dialect

__all__ = ["apply_schema", "schema_files", "statements"]

_log = logging.getLogger("hogline.instance")
_MIGRATIONS = "schema_migrations"
# If any one of the four fsync settings is missing, a power cut loses rows, or the whole folder.
# Source: docs/internals/engine.md#choice.
_DURABLE = (
    "non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1,"
    " min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1"
)
_templates = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - SQL of ours, no HTML


def apply_schema(client: Any, dialect: Dialect) -> None:
    """Apply the files that the store at *client* has not recorded."""
    client.command(dialect.create_database())
    for statement in _record_table(dialect):
        client.command(statement)
    applied = {row[0] for row in client.query(f"SELECT name FROM analytics.{_MIGRATIONS}").result_rows}  # noqa: S608
    for name, text in schema_files():
        if name not in applied:
            for statement in statements(text, dialect):
                client.command(statement)
            # Not `insert`, which imports pandas: a third of a second of each first start.
            row = orjson.dumps({"name": name})
            client.raw_insert(
                f"analytics.{_MIGRATIONS}", insert_block=row, fmt="JSONEachRow", settings=dialect.insert_settings
            )
            _log.info("store: applied %s", name)


def schema_files() -> list[tuple[str, str]]:
    """Return (name, text) of each schema file, in order."""
    folder = files("hogline_instance.store") / "schema"
    found = [(file.name, file.read_text()) for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted(found)


def statements(text: str, dialect: Dialect) -> list[str]:
    """Return the SQL statements of a schema file in *dialect*.

    No statement holds a semicolon of its own.
    """
    filled = _templates.from_string(text).render(
        create_table=dialect.create_table,
        engine=dialect.engine,
        distributed_table=dialect.distributed_table,
        tables=dialect.tables,
        durable=_DURABLE,
    )
    lines = (line for line in filled.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


def _record_table(dialect: Dialect) -> list[str]:
    begin = dialect.create_table(_MIGRATIONS)
    engine = dialect.engine(_MIGRATIONS, "MergeTree")
    table = f"{begin} (name String, applied_at DateTime DEFAULT now()) {engine} ORDER BY name"
    return [table, *filter(None, [dialect.distributed_table(_MIGRATIONS, "rand()")])]
