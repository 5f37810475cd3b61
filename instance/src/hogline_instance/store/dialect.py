"""The DDL of one node and of a cluster.

Schema files name tables and engines through a dialect; the rest of their SQL is common.

On a cluster each table is `<name>_local`, replicated within a shard, behind a Distributed table
with the plain name. So queries and inserts are the same for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Cluster", "Dialect", "SingleNode"]

_DATABASE = "analytics"


class Dialect(Protocol):
    """The functions that a schema file can call, such as `{{ create_table("events") }}`."""

    @property
    def insert_settings(self) -> Mapping[str, int]:
        """Return the settings that an insert needs."""
        ...

    def create_database(self) -> str:
        """Return the statement that creates the database."""
        ...

    def create_table(self, name: str) -> str:
        """Return the beginning of the statement that creates the data table; its columns follow."""
        ...

    def engine(self, name: str, engine: str, *arguments: str) -> str:
        """Return the ENGINE clause of the table *name*."""
        ...

    def distributed_table(self, name: str, sharding_key: str) -> str:
        """Return the statement that creates the Distributed table, or '' without shards."""
        ...

    def tables(self, name: str) -> tuple[str, ...]:
        """Return the tables to alter for *name*, each with its ON CLUSTER clause."""
        ...


@dataclass(frozen=True, slots=True)
class SingleNode:
    """ClickHouse in this process, or one server."""

    @property
    def insert_settings(self) -> Mapping[str, int]:
        """Return none."""
        return {}

    def create_database(self) -> str:
        """Return the statement that creates the database."""
        return f"CREATE DATABASE IF NOT EXISTS {_DATABASE} ENGINE = Atomic"

    def create_table(self, name: str) -> str:
        """Return the beginning of the statement that creates the table."""
        return f"CREATE TABLE IF NOT EXISTS {_DATABASE}.{name}"

    def engine(self, _name: str, engine: str, *arguments: str) -> str:
        """Return the ENGINE clause."""
        return f"ENGINE = {engine}({', '.join(arguments)})"

    def distributed_table(self, _name: str, _sharding_key: str) -> str:
        """Return '': one node has no shards."""
        return ""

    def tables(self, name: str) -> tuple[str, ...]:
        """Return the one table."""
        return (f"{_DATABASE}.{name}",)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster *name*, as the servers' `remote_servers` call it.

    They define the macros {shard} and {replica}.
    """

    name: str

    @property
    def insert_settings(self) -> Mapping[str, int]:
        """Return the setting that makes an insert wait until the shards have it."""
        return {"distributed_foreground_insert": 1}

    def create_database(self) -> str:
        """Return the statement that creates the database on every node."""
        return f"CREATE DATABASE IF NOT EXISTS {_DATABASE} ON CLUSTER {self._quoted} ENGINE = Atomic"

    def create_table(self, name: str) -> str:
        """Return the beginning of the statement that creates the local table on every node."""
        return f"CREATE TABLE IF NOT EXISTS {_DATABASE}.{name}_local ON CLUSTER {self._quoted}"

    def engine(self, name: str, engine: str, *arguments: str) -> str:
        """Return the ENGINE clause of the replicated table."""
        path = f"'/clickhouse/tables/{{shard}}/{_DATABASE}/{name}_local'"
        replica = "'{replica}'"
        return f"ENGINE = Replicated{engine}({', '.join((path, replica, *arguments))})"

    def distributed_table(self, name: str, sharding_key: str) -> str:
        """Return the statement that creates the Distributed table on every node."""
        return (
            f"CREATE TABLE IF NOT EXISTS {_DATABASE}.{name} ON CLUSTER {self._quoted} AS {_DATABASE}.{name}_local"
            f" ENGINE = Distributed({self._quoted}, {_DATABASE}, {name}_local, {sharding_key})"
        )

    def tables(self, name: str) -> tuple[str, ...]:
        """Return the local table and the Distributed one: a new column is added to both."""
        cluster = f"ON CLUSTER {self._quoted}"
        return (f"{_DATABASE}.{name}_local {cluster}", f"{_DATABASE}.{name} {cluster}")

    @property
    def _quoted(self) -> str:
        return "`" + self.name.replace("\\", "\\\\").replace("`", "\\`") + "`"
