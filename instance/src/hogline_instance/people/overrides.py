"""Tell the store which ids moved to another person, and write moves into the events.

SQL decides who somebody is. The store's `person_overrides` is a copy of the moves, for queries.
Source: docs/internals/instance-protocol.md#person-ids-and-versions.
"""

import threading
from typing import Any

import orjson
from sqlalchemy import bindparam, select, update

from hogline_instance.db import Database
from hogline_instance.events.person_ids import OVERRIDES_TABLE
from hogline_instance.people.queries import old_moves, write_moves
from hogline_instance.people.tables import DistinctIdRow
from hogline_instance.store import Store

__all__ = ["publish_overrides", "squash_overrides"]

_CHUNK = 5_000
_MAX_CHUNKS = 200
_SQUASHED_AT_ONCE = 1_000
# A node that died may still hold a batch whose rows have the person of before the merge. Its moves
# must stay until it has stored that batch.
_MIN_AGE_HOURS = 24
_publishing = threading.Lock()
_ids: Any = DistinctIdRow.__table__


def publish_overrides(database: Database, store: Store) -> int:
    """Copy the moves that the store does not have yet, and return their number.

    Two processes may copy the same move: it has the same version, and counts once.
    """
    published = 0
    with _publishing:
        for _ in range(_MAX_CHUNKS):
            with database.session() as session:
                found = session.execute(
                    select(_ids.c.id, _ids.c.team_id, _ids.c.distinct_id, _ids.c.person_uuid, _ids.c.version)
                    .where(_ids.c.version > _ids.c.published_version)
                    .order_by(_ids.c.id)
                    .limit(_CHUNK)
                ).all()
            rows = [
                {"team_id": row.team_id, "distinct_id": row.distinct_id, "person_id": row.person_uuid, "version": row.version}
                for row in found
                if row.person_uuid is not None
            ]  # fmt: skip
            if rows:
                store.insert(OVERRIDES_TABLE, b"\n".join(orjson.dumps(row) for row in rows))
            if found:
                _mark_published(database, [(row.id, row.version) for row in found])
            published += len(rows)
            if len(found) < _CHUNK:
                break
    return published


def squash_overrides(database: Database, store: Store, *, min_age_hours: float = _MIN_AGE_HOURS) -> int:
    """Write moves older than *min_age_hours* into the events' rows, and return their number.

    Each round is complete in itself, so the work can be stopped and goes on with the next call.
    """
    squashed = 0
    with database.exclusive("squash-overrides"):
        for _ in range(_MAX_CHUNKS):
            moves = old_moves(store, min_age_s=int(min_age_hours * 3600), limit=_SQUASHED_AT_ONCE)
            if not moves:
                break
            write_moves(store, moves)
            squashed += len(moves)
    return squashed


def _mark_published(database: Database, versions: list[tuple[int, int]]) -> None:
    statement = update(_ids).where(_ids.c.id == bindparam("of_id"), _ids.c.published_version < bindparam("until"))
    with database.transaction() as session:
        session.connection().execute(
            statement.values(published_version=bindparam("until")),
            [{"of_id": row_id, "until": version} for row_id, version in versions],
        )
