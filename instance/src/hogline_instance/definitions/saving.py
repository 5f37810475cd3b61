"""Write definitions: one statement for each table, which changes nothing that is there already."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from hogline_instance.db import utc_now
from hogline_instance.definitions.tables import EventDefinitionRow, EventPropertyRow, PropertyDefinitionRow

__all__ = ["MAX_OF_A_PROJECT", "save_events", "save_pairs", "save_properties"]

MAX_OF_A_PROJECT = {EventDefinitionRow: 10_000, PropertyDefinitionRow: 20_000, EventPropertyRow: 200_000}
"""Rows of a project in each table; a client that makes up names could fill the database otherwise."""


def save_events(session: Session, events: Sequence[tuple[int, str]], seen_at: datetime) -> None:
    """Add event definitions, or note that they were seen in this hour."""
    room = _has_room(session, EventDefinitionRow, {team for team, _ in events})
    rows = [
        {"id": str(uuid.uuid4()), "team_id": team, "name": name, "created_at": utc_now(), "last_seen_at": seen_at, "verified": False, "hidden": False}
        for team, name in sorted(events)
        if room[team]
    ]  # fmt: skip
    if rows:
        statement = _insert(session, EventDefinitionRow).values(rows)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["team_id", "name"], set_={"last_seen_at": statement.excluded.last_seen_at},
                where=EventDefinitionRow.last_seen_at < statement.excluded.last_seen_at,
            )
        )  # fmt: skip


def save_properties(session: Session, properties: Mapping[tuple[int, str, int, str], str | None]) -> None:
    """Add property definitions; a type that is known stays."""
    room = _has_room(session, PropertyDefinitionRow, {team for team, *_ in properties})
    rows = [
        {
            "id": str(uuid.uuid4()), "team_id": team, "kind": kind, "group_type_index": index, "name": name, "property_type": properties[key],
            "created_at": utc_now(), "verified": False, "hidden": False,
        }
        for key in sorted(properties)
        for team, kind, index, name in [key]
        if room[team]
    ]  # fmt: skip
    if rows:
        statement = _insert(session, PropertyDefinitionRow).values(rows)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["team_id", "kind", "group_type_index", "name"],
                set_={"property_type": statement.excluded.property_type},
                where=PropertyDefinitionRow.property_type.is_(None),
            )
        )


def save_pairs(session: Session, pairs: Sequence[tuple[int, str, str]]) -> None:
    """Note that events of a name have a property."""
    room = _has_room(session, EventPropertyRow, {team for team, *_ in pairs})
    rows = [{"team_id": team, "event": event, "property": name} for team, event, name in sorted(pairs) if room[team]]
    if rows:
        session.execute(_insert(session, EventPropertyRow).values(rows).on_conflict_do_nothing())


def _has_room(session: Session, table: Any, teams: set[int]) -> dict[int, bool]:
    counted = session.execute(
        select(table.team_id, func.count()).where(table.team_id.in_(teams)).group_by(table.team_id)
    )
    counts = {team: int(count) for team, count in counted}
    return {team: counts.get(team, 0) < MAX_OF_A_PROJECT[table] for team in teams}


def _insert(session: Session, table: Any) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
