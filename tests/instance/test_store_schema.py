"""The store's schema: the table has the columns that `EventRow` declares, and the cluster's DDL is
valid.
"""

import subprocess
import sys

import pytest

from hogline_instance.events.columns import COLUMNS, LISTED, SELECT_LIST, event_of
from hogline_instance.store.dialect import Cluster, SingleNode
from hogline_instance.store.migrate import schema_files, statements

IN_CHDB = """
import json, sys
from hogline_instance.store import Store
store = Store(f"chdb:///{sys.argv[1]}", query_max_s=60, query_max_bytes=10**9)
"""
DESCRIBE = (
    IN_CHDB
    + """
store.migrate()
store.migrate()
columns = store.query("SELECT name, type FROM system.columns WHERE database = 'analytics' AND table = 'events' AND default_kind != 'MATERIALIZED'")
applied = store.query("SELECT name FROM analytics.schema_migrations ORDER BY name")
print(json.dumps([{row["name"]: row["type"] for row in columns}, [row["name"] for row in applied]]))
"""
)
# Not by `Store.query`: its clients may not send settings, which some statements have.
PARSE = """
import json, sys
import clickhouse_connect
client = clickhouse_connect.get_client(dsn=f"chdb:///{sys.argv[1]}")
for statement in json.load(sys.stdin):
    client.query(f"EXPLAIN AST {statement}")
print("parsed")
"""


def in_chdb(script, folder, given=""):
    """Run *script* in a new process, since a process that has loaded chDB must not fork."""
    command = [sys.executable, "-W", "ignore", "-c", script, str(folder)]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=100, check=True).stdout


def all_statements(dialect):
    made = [
        dialect.create_database(),
        *statements(
            dialect.create_table("t") + " (a UInt8) " + dialect.engine("t", "MergeTree") + " ORDER BY a", dialect
        ),
    ]
    return made + [each for _, file in schema_files() for each in statements(file, dialect)]


def test_the_table_has_the_columns_that_the_row_declares(tmp_path):
    """Names and types are equal, so a new column needs both `events/row.py` and a migration."""
    import json

    columns, applied = json.loads(in_chdb(DESCRIBE, tmp_path / "store"))
    assert columns == {each.name: each.column.type for each in COLUMNS}
    assert applied == [name for name, _ in schema_files()]


def test_the_ddl_of_a_cluster_is_valid_for_the_engine(tmp_path):
    """ON CLUSTER, Replicated and Distributed can't run in process, but the engine parses them."""
    import json

    cluster = all_statements(Cluster("ma`in"))
    assert in_chdb(PARSE, tmp_path / "store", json.dumps(cluster)) == "parsed\n"
    with pytest.raises(subprocess.CalledProcessError):
        in_chdb(PARSE, tmp_path / "store", json.dumps(["CREATE TABLE x ON CLUSTER"]))


def test_each_table_of_a_cluster_is_replicated_and_has_a_distributed_one_in_front():
    """A single node has neither, and its columns are the same."""
    single, cluster = all_statements(SingleNode()), all_statements(Cluster("main"))
    assert not [each for each in single if "Replicated" in each or "CLUSTER" in each or "Distributed" in each]
    local = [each for each in cluster if "CREATE TABLE IF NOT EXISTS analytics.events_local ON CLUSTER `main`" in each]
    assert len(local) == 1
    assert (
        "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/analytics/events_local', '{replica}', received_at)"
        in local[0]
    )
    assert (
        "CREATE TABLE IF NOT EXISTS analytics.events ON CLUSTER `main` AS analytics.events_local"
        " ENGINE = Distributed(`main`, analytics, events_local, sipHash64(distinct_id))"
    ) in cluster
    assert Cluster("main").tables("events") == (
        "analytics.events_local ON CLUSTER `main`",
        "analytics.events ON CLUSTER `main`",
    )
    assert SingleNode().tables("events") == ("analytics.events",)


def test_an_event_is_read_back_from_every_column():
    """The SELECT list and the decoding follow the declaration."""
    row = {each.alias: "" for each in COLUMNS} | {
        "team_id": 7,
        "properties": '{"a": 1}',
        "timestamp_text": "2026-11-30 12:00:00.000001",
    }
    event = event_of(row)
    assert (event.team_id, event.properties, event.timestamp.microsecond) == (7, {"a": 1}, 1)
    assert SELECT_LIST.count(",") == len(LISTED) - 1
