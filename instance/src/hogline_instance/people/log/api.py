"""`persons/activity/`, `properties_timeline/`, `groups/related/` and `groups/activity/`.

Source: docs/internals/management-api.md#persons.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Query

from hogline_instance.db import utc_now
from hogline_instance.people.log.entries import group_entries, person_entries
from hogline_instance.people.log.queries import changes_of_group, changes_of_people, count_changes, timeline_of
from hogline_instance.people.log.related import related_to_group, related_to_person
from hogline_instance.people.lookup import FoundPerson, find_people, group_types
from hogline_instance.people.person_json import iso
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.errors import bad_request
from hogline_instance.web.paging import activity_page
from hogline_instance.web.routes import ProjectRoutes

__all__ = ["add_log_routes"]

_DAYS = 30
_MAX_ENTRIES = 1_000
_Limit = Annotated[int, Query(ge=1, le=500)]
_Page = Annotated[int, Query(ge=1, le=1_000)]
_Index = Annotated[int | None, Query(ge=0, le=4, description="The index of the group's type")]
FindPerson = Callable[[Project, str], FoundPerson]
"""A function that returns a person by uuid or number, or raises ApiError."""


def add_log_routes(routes: ProjectRoutes, services: Services, access: Access, found: FindPerson) -> None:
    """Add the routes to *routes*; *found* finds the person that a path names."""
    log = _Log(services)
    allowed: Any = access.project("person")
    of_groups: Any = access.project("group")

    def all_activity(limit: _Limit = 10, page: _Page = 1, project: Project = allowed) -> dict[str, Any]:
        """Return what changed of people, the newest first."""
        return log.of_people(project, None, limit, page)

    def activity(person_id: str, limit: _Limit = 10, page: _Page = 1, project: Project = allowed) -> dict[str, Any]:
        """Return what changed of one person, the newest first."""
        return log.of_people(project, found(project, person_id), limit, page)

    def timeline(person_id: str, date_from: str = "", date_to: str = "", project: Project = allowed) -> dict[str, Any]:
        """Return the person's properties as they were from one event to the next."""
        return log.timeline(project, found(project, person_id), date_from, date_to)

    def group_activity(
        group_type_index: _Index = None, group_key: str = "", id: str = "",  # noqa: A002 - the query's name
        limit: _Limit = 10, page: _Page = 1, project: Project = of_groups,
    ) -> dict[str, Any]:  # fmt: skip
        """Return what changed of a group, the newest first."""
        return log.of_group(project, group_type_index, group_key or id, limit, page)

    def related(
        id: str, group_type_index: _Index = None, project: Project = of_groups,  # noqa: A002 - the query's name
    ) -> list[Any]:  # fmt: skip
        """Return who and what events of 90 days name with a group, or the groups of a person."""
        if group_type_index is None:
            return related_to_person(services.database, services.store, project, id[:36])
        return related_to_group(services.database, services.store, project, group_type_index, id)

    routes.add("GET", "/persons/activity/", all_activity)
    routes.add("GET", "/persons/properties_timeline/", timeline)
    routes.add("GET", "/persons/{person_id}/activity/", activity)
    routes.add("GET", "/persons/{person_id}/properties_timeline/", timeline)
    routes.add("GET", "/groups/activity/", group_activity)
    routes.add("GET", "/groups/related/", related)


class _Log:
    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._store = services.store

    def of_people(self, project: Project, person: FoundPerson | None, limit: int, page: int) -> dict[str, Any]:
        ids = person.distinct_ids if person is not None else None
        events = changes_of_people(self._store, project.id, ids, limit=limit, offset=(page - 1) * limit)
        with self._database.session() as session:
            people = find_people(session, project.id, {event.distinct_id for event in events})
        entries = person_entries(events, {distinct_id: each.uuid for distinct_id, each in people.items()})
        return activity_page(entries, count_changes(self._store, project.id, ids), limit, page)

    def of_group(self, project: Project, index: int | None, key: str, limit: int, page: int) -> dict[str, Any]:
        with self._database.session() as session:
            kind = next((each for each in group_types(session, project.id) if each.index == index), None)
        if kind is None or not key:
            raise bad_request("group_type_index", "group_type_index and group_key name the group; both are needed.")
        events = changes_of_group(self._store, project.id, kind.name, key, limit=_MAX_ENTRIES)
        entries = group_entries(events, key)
        return activity_page(entries[(page - 1) * limit : page * limit], len(entries), limit, page)

    def timeline(self, project: Project, person: FoundPerson, date_from: str, date_to: str) -> dict[str, Any]:
        until = _moment("date_to", date_to) or utc_now()
        since = _moment("date_from", date_from) or until - timedelta(days=_DAYS)
        points = timeline_of(self._store, project.id, person.distinct_ids, since, until)
        return {
            "points": [
                {"timestamp": iso(point.at), "properties": point.properties, "relevant_event_count": point.events}
                for point in points
            ],
            "crucial_property_keys": sorted({name for point in points for name in point.properties})[:100],
            "effective_date_from": iso(since),
            "effective_date_to": iso(until),
        }


def _moment(attr: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request(attr, f"{text[:50]!r} is no date; write one such as 2026-01-31.") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
