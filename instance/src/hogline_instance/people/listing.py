"""Lists of people and groups: searched, filtered, sorted, in pages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, String, cast, exists, false, func, or_, select
from sqlalchemy.orm import Session

from hogline_instance.db import utc_now
from hogline_instance.people.lookup import FoundGroup, FoundPerson, distinct_ids_of, found_group, found_person
from hogline_instance.people.property_filters import PropertyFilter, condition, property_text
from hogline_instance.people.tables import DistinctIdRow, GroupRow, PersonRow

__all__ = [
    "ORDERS",
    "PersonQuestion",
    "count_people",
    "list_groups",
    "list_people",
    "person_values",
    "property_names",
    "property_values",
]

ORDERS = ("created_at", "last_seen_at")
_CLOCKS_AHEAD = timedelta(days=1)  # a wrong clock must not put a person above all others for years
_SAMPLE = 5_000
_MAX_KEYS = 20


@dataclass(frozen=True, slots=True)
class PersonQuestion:
    """Which people to list.

    *search* is a part of the email or name, or a whole distinct id or uuid; *anywhere* also
    searches all properties.
    """

    distinct_id: str | None = None
    email: str | None = None
    search: str | None = None
    anywhere: str | None = None
    properties: tuple[PropertyFilter, ...] = ()
    uuids: tuple[str, ...] | None = None
    members: Select[Any] | None = None
    """A query for the uuids of the people of a cohort."""
    order: str = "created_at"


def list_people(
    session: Session, project_id: int, wanted: PersonQuestion, *, limit: int, offset: int = 0
) -> list[FoundPerson]:
    """Return the people that match, the newest first by `wanted.order`."""
    order: Any = PersonRow.last_seen_at if wanted.order == "last_seen_at" else PersonRow.created_at
    query = _matching(session, select(PersonRow), project_id, wanted)
    rows = list(session.scalars(query.order_by(order.desc(), PersonRow.id.desc()).limit(limit).offset(offset)))
    ids = distinct_ids_of(session, project_id, [row.uuid for row in rows])
    return [found_person(row, ids.get(row.uuid, ())) for row in rows]


def count_people(session: Session, project_id: int, wanted: PersonQuestion) -> int:
    """Return how many people match."""
    return session.scalar(_matching(session, select(func.count(PersonRow.id)), project_id, wanted)) or 0


def list_groups(
    session: Session, project_id: int, type_index: int, *, search: str | None = None, key: str | None = None,
    after_id: int | None = None, limit: int = 100,
) -> list[tuple[int, FoundGroup]]:  # fmt: skip
    """Return groups of one type, the newest first, each with the id after which the next page starts."""
    query = select(GroupRow).where(GroupRow.team_id == project_id, GroupRow.type_index == type_index)
    if key:
        query = query.where(GroupRow.group_key == key.replace("\0", ""))
    if search:
        text = search.replace("\0", "").lower()
        name = property_text(_dialect(session), GroupRow.properties, "name")
        query = query.where(
            or_(
                func.lower(GroupRow.group_key).contains(text, autoescape=True),
                func.lower(name).contains(text, autoescape=True),
            )
        )
    if after_id is not None:
        query = query.where(GroupRow.id < after_id)
    return [(row.id, found_group(row)) for row in session.scalars(query.order_by(GroupRow.id.desc()).limit(limit))]


def property_values(session: Session, table: Any, condition_: Any, key: str, part: str) -> list[tuple[Any, int]]:
    """Return values of property *key* that contain *part*, the most frequent first.

    *table* is PersonRow or GroupRow, *condition_* its rows.
    """
    value = property_text(_dialect(session), table.properties, key)
    query = select(value, func.count()).where(condition_, value.is_not(None))
    if part:
        query = query.where(func.lower(value).contains(part.replace("\0", "").lower(), autoescape=True))
    found = session.execute(query.group_by(value).order_by(func.count().desc(), value).limit(100))
    return [(text, count) for text, count in found]


def person_values(session: Session, project_id: int, keys: Iterable[str]) -> dict[str, list[str]]:
    """Return values of the newest people for each property in *keys*, the most frequent first."""
    newest = (
        select(PersonRow.properties).where(PersonRow.team_id == project_id).order_by(PersonRow.id.desc()).limit(_SAMPLE)
    ).subquery()
    found: dict[str, list[str]] = {}
    for key in [key for key in dict.fromkeys(keys) if key and '"' not in key and "\0" not in key][:_MAX_KEYS]:
        value = property_text(_dialect(session), newest.c.properties, key)
        query = select(value).where(value.is_not(None)).group_by(value).order_by(func.count().desc(), value).limit(50)
        found[key] = [str(text)[:200] for text in session.scalars(query)]
    return found


def property_names(rows: Sequence[Any]) -> list[tuple[str, int]]:
    """Return the names in the properties of *rows* with their frequency, the most frequent first."""
    counts: dict[str, int] = {}
    for properties in rows[:_SAMPLE]:
        for name in properties:
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _matching(session: Session, query: Select[Any], project_id: int, wanted: PersonQuestion) -> Select[Any]:
    dialect = _dialect(session)
    # As an expression, so that the planner takes the index of the order, and stops at the page's end.
    created_at = func.coalesce(PersonRow.created_at, PersonRow.created_at)
    query = query.where(PersonRow.team_id == project_id, created_at <= utc_now() + _CLOCKS_AHEAD)
    if wanted.uuids is not None:
        query = query.where(PersonRow.uuid.in_(wanted.uuids) if wanted.uuids else false())
    if wanted.members is not None:
        query = query.where(PersonRow.uuid.in_(wanted.members))
    if wanted.distinct_id:
        query = query.where(_has_id(wanted.distinct_id))
    if wanted.email:
        query = query.where(condition(dialect, PersonRow.properties, PropertyFilter("email", "exact", (wanted.email,))))
    if wanted.search:
        text = wanted.search.replace("\0", "")
        parts = [
            func.lower(property_text(dialect, PersonRow.properties, name)).contains(text.lower(), autoescape=True)
            for name in ("email", "name")
        ]
        query = query.where(or_(*parts, PersonRow.uuid == text.lower(), _has_id(text)))
    if wanted.anywhere:
        query = query.where(or_(_anywhere(wanted.anywhere), _has_id(wanted.anywhere)))
    for each in wanted.properties:
        query = query.where(condition(dialect, PersonRow.properties, each))
    return query


def _anywhere(text: str) -> ColumnElement[bool]:
    return func.lower(cast(PersonRow.properties, String)).contains(text.replace("\0", "").lower(), autoescape=True)


def _has_id(distinct_id: str) -> ColumnElement[bool]:
    return exists().where(
        DistinctIdRow.team_id == PersonRow.team_id,
        DistinctIdRow.person_uuid == PersonRow.uuid,
        DistinctIdRow.distinct_id == distinct_id.replace("\0", ""),
    )


def _dialect(session: Session) -> str:
    return session.get_bind().dialect.name
