"""The store: the only room that knows ClickHouse. SQL and bound parameters in, rows out; one writer, numbered schema files."""

from hogline_instance.store.store import Store

__all__ = ["Store"]
