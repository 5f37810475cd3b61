"""Two nodes that write people to one database at the same moment."""

import random
import threading

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from hogline_instance.people.tables import DistinctIdRow, PersonRow
from tests.instance.people.batches import Node, line

BATCHES = 12


def test_two_nodes_make_the_same_people_without_losing_an_update(database, tmp_path):
    """Both create, update and merge the same ids; a conflict is retried, and no id has two people."""
    failures = []

    def work(name, seed):
        node, chance = Node(database, tmp_path / name), random.Random(seed)
        for number in range(BATCHES):
            batch = []
            for each in range(6):
                own = f"u{each}"
                batch.append(line("$set", own, X_set={f"{name}-{number}": each}))
                if chance.random() < 0.5:
                    batch.append(line("$identify", own, X_anon_distinct_id=f"anon-{each}-{number % 3}"))
                batch.append(line("seen", f"anon-{each}-{number % 3}"))
            chance.shuffle(batch)
            for _ in range(30):
                try:
                    node.run(*batch, name=f"{name}-{number}")
                except SQLAlchemyError:
                    continue
                break
            else:
                failures.append(f"{name}-{number}")

    threads = [threading.Thread(target=work, args=(name, seed)) for seed, name in enumerate(("one", "two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    with database.session() as session:
        persons = {row.uuid: row.properties for row in session.scalars(select(PersonRow))}
        owners = {row.distinct_id: row.person_uuid for row in session.scalars(select(DistinctIdRow))}
    assert set(owners.values()) == set(persons)
    for each in range(6):
        properties = persons[owners[f"u{each}"]]
        for name in ("one", "two"):
            assert {f"{name}-{number}" for number in range(BATCHES)} <= set(properties), each
