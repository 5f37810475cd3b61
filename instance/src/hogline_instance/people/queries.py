"""The SQL that people ask of the store: moves of ids, and the events of a person."""

from collections.abc import Sequence

from hogline_instance.events.person_ids import OVERRIDES_TABLE
from hogline_instance.store import EVENTS_TABLE, Store

__all__ = ["Move", "old_moves", "write_moves"]

Move = tuple[int, str, str, int]
"""A project, a distinct id, the person it belongs to, and the version of the move."""


def old_moves(store: Store, *, min_age_s: int, limit: int) -> list[Move]:
    """Return moves of one project that are older than *min_age_s*."""
    rows = store.query(
        "SELECT team_id, distinct_id, toString(argMax(person_id, version)) AS person, max(version) AS newest"  # noqa: S608 - constants
        f" FROM {OVERRIDES_TABLE} GROUP BY team_id, distinct_id"
        " HAVING max(moved_at) < now64(3) - toIntervalSecond({age_s:UInt32})"
        " ORDER BY team_id, distinct_id LIMIT {limit:UInt32}",
        {"age_s": min_age_s, "limit": limit},
    )
    return [
        (int(str(row["team_id"])), str(row["distinct_id"]), str(row["person"]), int(str(row["newest"])))
        for row in rows
        if row["team_id"] == rows[0]["team_id"]
    ]


def write_moves(store: Store, moves: Sequence[Move]) -> None:
    """Write *moves*, all of one project, into the events' rows, then forget them."""
    parameters = {
        "team": moves[0][0],
        "ids": [distinct_id for _, distinct_id, _, _ in moves],
        "persons": [person for _, _, person, _ in moves],
        "versions": [version for _, _, _, version in moves],
    }
    store.change(
        EVENTS_TABLE,
        "UPDATE person_id = toUUID(transform(distinct_id, {ids:Array(String)}, {persons:Array(String)},"
        " toString(person_id))) WHERE team_id = {team:UInt32} AND distinct_id IN {ids:Array(String)}",
        parameters,
    )
    store.change(
        OVERRIDES_TABLE,
        "DELETE WHERE team_id = {team:UInt32} AND distinct_id IN {ids:Array(String)} AND version <="
        " transform(distinct_id, {ids:Array(String)}, {versions:Array(Int64)}, toInt64(-1))",
        parameters,
    )
