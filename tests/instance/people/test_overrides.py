"""Merged people in the store: queries find them through the moved ids, and a job writes these into
the events.
"""

import json
import subprocess
import sys

SCRIPT = """
import json, sys
from pathlib import Path
from hogline_instance.db import Database
from hogline_instance.events.person_ids import OVERRIDES_TABLE, PERSON_ID, PERSON_JOIN
from hogline_instance.events.row import encode_row
from hogline_instance.people.overrides import publish_overrides, squash_overrides
from hogline_instance.projects.tables import ProjectRow
from hogline_instance.store import EVENTS_TABLE, Store
from tests.instance.people.batches import Node, line

folder = Path(sys.argv[1])
folder.mkdir()
database = Database(f"sqlite:///{folder}/state.sqlite3")
database.migrate()
with database.transaction() as session:
    session.add_all([ProjectRow(id=number, name="p", token=f"phc_{number}") for number in (1, 2)])
store = Store(f"chdb:///{folder}/store", query_max_s=60, query_max_bytes=10**9)
store.migrate()
node = Node(database, folder / "node")

def keep(*lines):
    rows = node.run(*lines)
    store.insert_events(b"\\n".join(encode_row(row) for row in rows), f"batch-{node.count}")

def counts(expression=PERSON_ID, join=PERSON_JOIN):
    found = []
    for project in (1, 2):
        rows = store.query(
            f"SELECT events.distinct_id AS id, toString({expression}) AS person FROM {EVENTS_TABLE} AS events {join}"
            " WHERE events.team_id = {project:UInt32} ORDER BY id, person", {"project": project},
        )
        found.append([(row["id"], row["person"]) for row in rows])
    return found

# The same ids in two projects; only those of the first are joined.
for team in (1, 2):
    keep(line("seen", "visitor", team=team), line("seen", "visitor", team=team), line("$set", "ada", team=team))
seen = {"apart": counts()}
keep(line("$identify", "ada", X_anon_distinct_id="visitor"))
publish_overrides(database, store)
seen["joined"] = counts()
seen["rows"] = counts("events.person_id", "")
seen["early"] = squash_overrides(database, store)
seen["squashed"] = squash_overrides(database, store, min_age_hours=0)
seen["again"] = squash_overrides(database, store, min_age_hours=0)
seen["left"] = store.query(f"SELECT count() AS left FROM {OVERRIDES_TABLE}")[0]["left"]
seen["after"] = counts("events.person_id", "")
seen["joined after"] = counts()
# A later event of the id that moved, and a second merge, find the person of today.
keep(line("seen", "visitor"), line("$set", "bob"), line("$merge_dangerously", "bob", alias="ada"))
publish_overrides(database, store)
seen["second"] = counts()
print(json.dumps(seen))
store.close()
"""


def test_moved_ids_are_joined_and_squashed_with_the_same_people(tmp_path):
    """One project's moves never touch another's events, and a squash changes no answer."""
    # A process that has loaded chDB must not fork, so the store is opened in one of its own.
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "data")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    (apart, other), (joined, _) = seen["apart"], seen["joined"]
    assert [len({person for _, person in each}) for each in (apart, other)] == [2, 2]
    ada = dict(apart)["ada"]
    assert {person for _, person in joined} == {ada}
    assert [each[1] for each in (seen["joined"], seen["after"], seen["joined after"], seen["second"])] == [other] * 4
    assert len({person for _, person in seen["rows"][0]}) == 2, "the rows themselves keep the person of before"
    # Moves of today stay: a node may still hold rows with the person of before.
    assert (seen["early"], seen["squashed"] > 0, seen["again"], seen["left"]) == (0, True, 0, 0)
    assert seen["after"][0] == seen["joined after"][0] == joined
    bob = dict(seen["second"][0])["bob"]
    assert {person for _, person in seen["second"][0]} == {bob}
