"""Read and edit definitions: lists with filters, one by its id, and names to suggest in editors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from hogline_instance.db import utc_now
from hogline_instance.definitions.tables import (
    EVENT,
    NO_GROUP,
    EventDefinitionRow,
    EventPropertyRow,
    PropertyDefinitionRow,
)
from hogline_instance.web.errors import invalid_field

__all__ = ["PropertyWanted", "change", "event_names", "list_events", "list_properties", "property_names"]

Definition = EventDefinitionRow | PropertyDefinitionRow


@dataclass(frozen=True, slots=True)
class PropertyWanted:
    """The filters of a list of property definitions."""

    kind: str = EVENT
    group_type_index: int = NO_GROUP
    search: str = ""
    names: Sequence[str] | None = None
    event_names: Sequence[str] | None = None
    only_numerical: bool = False
    feature_flags: bool | None = None
    excludes_core: bool = False
    excludes_hidden: bool = False


def list_events(
    session: Session, project_id: int, search: str = "", *, ordering: str = "name", limit: int = 100, offset: int = 0
) -> tuple[Sequence[EventDefinitionRow], int]:
    """Return event definitions whose names contain *search*, and how many there are."""
    conditions = [EventDefinitionRow.team_id == project_id, *_containing(EventDefinitionRow.name, search)]
    column = {"name": EventDefinitionRow.name, "created_at": EventDefinitionRow.created_at, "last_seen_at": EventDefinitionRow.last_seen_at}.get(
        ordering.lstrip("-"), EventDefinitionRow.name
    )  # fmt: skip
    order = column.desc() if ordering.startswith("-") else column.asc()
    count = session.scalar(select(func.count()).select_from(EventDefinitionRow).where(*conditions)) or 0
    rows = session.scalars(
        select(EventDefinitionRow)
        .where(*conditions)
        .order_by(order, EventDefinitionRow.name)
        .limit(limit)
        .offset(offset)
    ).all()
    return rows, count


def list_properties(
    session: Session, project_id: int, wanted: PropertyWanted, *, limit: int = 100, offset: int = 0
) -> tuple[Sequence[PropertyDefinitionRow], int]:
    """Return property definitions by name, and how many there are."""
    row = PropertyDefinitionRow
    conditions = [row.team_id == project_id, row.kind == wanted.kind, *_containing(row.name, wanted.search)]
    if wanted.group_type_index != NO_GROUP:
        conditions.append(row.group_type_index == wanted.group_type_index)
    if wanted.names is not None:
        conditions.append(row.name.in_(list(wanted.names)[:1_000]))
    if wanted.event_names is not None:
        seen = select(EventPropertyRow.property).where(
            EventPropertyRow.team_id == project_id, EventPropertyRow.event.in_(list(wanted.event_names)[:1_000])
        )
        conditions.append(row.name.in_(seen))
    if wanted.only_numerical:
        conditions.append(row.property_type == "Numeric")
    if wanted.feature_flags is not None:
        is_flag = row.name.startswith("$feature/", autoescape=True)
        conditions.append(is_flag if wanted.feature_flags else ~is_flag)
    if wanted.excludes_core:
        conditions.append(~row.name.startswith("$", autoescape=True))
    if wanted.excludes_hidden:
        conditions.append(row.hidden.is_(False))
    count = session.scalar(select(func.count()).select_from(row).where(*conditions)) or 0
    rows = session.scalars(select(row).where(*conditions).order_by(row.name, row.id).limit(limit).offset(offset)).all()
    return rows, count


def event_names(session: Session, project_id: int, limit: int = 500) -> list[str]:
    """Return names of events to suggest in an editor, those of the client's own machinery last."""
    rows = session.scalars(
        select(EventDefinitionRow.name)
        .where(EventDefinitionRow.team_id == project_id)
        .order_by(EventDefinitionRow.name.startswith("$", autoescape=True), EventDefinitionRow.name)
        .limit(limit)
    )
    return list(rows)


def property_names(session: Session, project_id: int, kind: str, limit: int = 500) -> list[str]:
    """Return names to suggest in an editor, those of the client's own machinery last."""
    rows = session.scalars(
        select(PropertyDefinitionRow.name)
        .where(PropertyDefinitionRow.team_id == project_id, PropertyDefinitionRow.kind == kind)
        .order_by(PropertyDefinitionRow.name.startswith("$", autoescape=True), PropertyDefinitionRow.name)
        .limit(limit)
    )
    return list(rows)


def change(row: Definition, body: Mapping[str, Any]) -> None:
    """Set the fields that people may edit. Raises ApiError: a value is invalid."""
    for name in ("verified", "hidden"):
        if name in body:
            if not isinstance(body[name], bool):
                raise invalid_field(name, "invalid", "Must be a valid boolean.")
            setattr(row, name, body[name])
    if "description" in body:
        if body["description"] is not None and not isinstance(body["description"], str):
            raise invalid_field("description", "invalid", "Not a valid string.")
        row.description = (body["description"] or "")[:4_000] or None
    if "tags" in body:
        tags = body["tags"]
        if not isinstance(tags, list) or len(tags) > 50 or not all(isinstance(each, str) for each in tags):
            raise invalid_field("tags", "not_a_list", "Expected a list of at most 50 texts.")
        row.tags = tags
    if isinstance(row, PropertyDefinitionRow) and "property_type" in body:
        if body["property_type"] not in {"String", "Numeric", "Boolean", "DateTime", "Duration", None}:
            raise invalid_field(
                "property_type", "invalid_choice", f'"{str(body["property_type"])[:50]}" is not a valid choice.'
            )
        row.property_type = body["property_type"]
    row.updated_at = utc_now()


def _containing(column: Any, search: str) -> list[ColumnElement[bool]]:
    return [func.lower(column).contains(search.lower(), autoescape=True)] if search else []
