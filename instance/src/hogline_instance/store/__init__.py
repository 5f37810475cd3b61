"""The store: the only package that knows ClickHouse.

It runs SQL with bound parameters and returns rows; one thread inserts; schema files are numbered.
"""

from hogline_instance.store.clickhouse import EVENTS_TABLE, Store

__all__ = ["EVENTS_TABLE", "Store"]
