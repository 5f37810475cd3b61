"""Groups: the types of a project, the groups that events name, and `$groupidentify`.

Source: docs/internals/instance-protocol.md#groups.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, tuple_, update
from sqlalchemy.orm import Session

from hogline_instance.db import utc_now
from hogline_instance.people.tables import GroupRow, GroupTypeRow

__all__ = ["MAX_GROUP_TYPES", "Groups", "key_text", "named_groups"]

MAX_GROUP_TYPES = 5
_MAX_CHARACTERS = 400
_MAX_PLACES = 5_000  # SQLite binds at most 32,766 values in a statement


@dataclass(slots=True)
class _Group:
    properties: dict[str, Any]
    created_at: datetime
    version: int = 0
    is_new: bool = False
    is_changed: bool = False


@dataclass(slots=True)
class Groups:
    """The group types of a batch's projects, and the groups that it identifies."""

    types: dict[int, dict[str, int]] = field(default_factory=dict)
    new_types: list[tuple[int, str, int]] = field(default_factory=list)
    groups: dict[tuple[int, int, str], _Group] = field(default_factory=dict)

    @classmethod
    def load(cls, session: Session, teams: set[int], identified: Iterable[tuple[int, str, str]]) -> "Groups":
        """Return the types of *teams*, and the *identified* groups (project, type, key), locked."""
        self = cls({team: {} for team in teams})
        query = select(GroupTypeRow.team_id, GroupTypeRow.group_type, GroupTypeRow.index)
        for team, group_type, index in session.execute(query.where(GroupTypeRow.team_id.in_(teams))):
            self.types[team][group_type] = index
        wanted = sorted(
            {(team, self.types[team][name], key) for team, name, key in identified if name in self.types[team]}
        )
        if wanted:
            place = tuple_(GroupRow.team_id, GroupRow.type_index, GroupRow.group_key)
            locked = (
                select(GroupRow)
                .order_by(GroupRow.team_id, GroupRow.type_index, GroupRow.group_key)
                .with_for_update()
                .execution_options(populate_existing=True)
            )
            for start in range(0, len(wanted), _MAX_PLACES):
                for row in session.scalars(locked.where(place.in_(wanted[start : start + _MAX_PLACES]))):
                    created = (
                        row.created_at if row.created_at.tzinfo is not None else row.created_at.replace(tzinfo=UTC)
                    )
                    self.groups[row.team_id, row.type_index, row.group_key] = _Group(
                        dict(row.properties), created, row.version
                    )
        return self

    def index_of(self, team_id: int, group_type: str) -> int | None:
        """Return the index of a type, a new one if it is unknown, or None beyond the fifth."""
        types = self.types[team_id]
        if group_type not in types:
            free = [index for index in range(MAX_GROUP_TYPES) if index not in types.values()]
            if not free:
                return None
            types[group_type] = free[0]
            self.new_types.append((team_id, group_type, free[0]))
        return types[group_type]

    def identify(self, team_id: int, index: int, key: str, properties: Mapping[str, Any], at: datetime) -> None:
        """Merge *properties* into a group, which is made if it is unknown."""
        place = (team_id, index, key)
        group = self.groups.get(place)
        if group is None:
            group = self.groups[place] = _Group({}, at, is_new=True)
        merged = {**group.properties, **properties}
        if merged != group.properties:
            group.properties, group.version, group.is_changed = merged, group.version + 1, True

    def save(self, session: Session) -> None:
        """Write what changed; the caller commits."""
        if self.new_types:
            session.execute(
                insert(GroupTypeRow),
                [
                    {"team_id": team, "group_type": name, "index": index, "created_at": utc_now()}
                    for team, name, index in self.new_types
                ],
            )
        new = [_values(place, group) for place, group in sorted(self.groups.items(), key=_place) if group.is_new]
        if new:
            session.execute(insert(GroupRow), new)
        changed = [
            {**_values(place, group), "of_team": place[0], "of_type": place[1], "of_key": place[2]}
            for place, group in sorted(self.groups.items(), key=_place)
            if group.is_changed and not group.is_new
        ]
        if changed:
            table: Any = GroupRow.__table__
            statement = update(table).where(
                table.c.team_id == bindparam("of_team"),
                table.c.type_index == bindparam("of_type"),
                table.c.group_key == bindparam("of_key"),
            )
            names = ("properties", "version")
            session.connection().execute(statement.values({name: bindparam(name) for name in names}), changed)


def named_groups(properties: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (type, key) of each group in `$groups`."""
    given = properties.get("$groups")
    if not isinstance(given, dict):
        return []
    return [(name[:_MAX_CHARACTERS], key) for name, value in given.items() if name and (key := key_text(value))]


def key_text(value: object) -> str:
    """Return a group's key as text, or '' when it is none."""
    if value is None or isinstance(value, (bool, dict, list)):
        return ""
    return str(value)[:_MAX_CHARACTERS]


def _values(place: tuple[int, int, str], group: _Group) -> dict[str, Any]:
    return {
        "team_id": place[0],
        "type_index": place[1],
        "group_key": place[2],
        "properties": group.properties,
        "created_at": group.created_at,
        "version": group.version,
    }


def _place(item: tuple[tuple[int, int, str], _Group]) -> tuple[int, int, str]:
    return item[0]
