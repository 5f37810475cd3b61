"""The store: the only room that knows ClickHouse.

SQL and bound parameters in, rows out; one writer, numbered schema files.
"""

from hogline_instance.store.clickhouse import EVENTS_TABLE, Store

__all__ = ["EVENTS_TABLE", "Store"]
