"""Create and change cohorts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.cohorts.calculation import set_people
from hogline_instance.cohorts.filters import check_filters, cohort_ids, refuse_circle
from hogline_instance.cohorts.lookup import known_cohorts
from hogline_instance.cohorts.tables import CohortRow
from hogline_instance.people import find_people_by_uuid
from hogline_instance.web.errors import ApiError, invalid_field, not_found

__all__ = [
    "Use",
    "add_people",
    "change_cohort",
    "create_cohort",
    "create_static_cohort",
    "found_cohort",
    "person_uuids",
]

Use = Callable[[Session, int, int], str]
"""A function of a session, a project and a cohort that returns a sentence about what uses it, or ''."""
_MAX_NAME_CHARS = 400
_MAX_COHORTS = 1_000
_MAX_IDS = 10_000


def found_cohort(session: Session, project_id: int, cohort_id: int) -> CohortRow:
    """Return a cohort of the project, also a deleted one. Raises ApiError: there is none."""
    row = session.scalar(select(CohortRow).where(CohortRow.team_id == project_id, CohortRow.id == cohort_id))
    if row is None:
        raise not_found()
    return row


def create_cohort(session: Session, project_id: int, body: Mapping[str, Any]) -> CohortRow:
    """Add a cohort. Raises ApiError: a field is invalid."""
    others = known_cohorts(session, project_id)
    if len(others) >= _MAX_COHORTS:
        raise invalid_field("name", "max_length", f"A project has at most {_MAX_COHORTS} cohorts.")
    is_static = body.get("is_static") is True
    filters: dict[str, Any] = {} if is_static else _checked(None, body.get("filters"), others)
    row = CohortRow(
        team_id=project_id, name=_name(body.get("name")), description=_description(body.get("description")), is_static=is_static,
        filters=filters, is_calculating=not is_static, deleted=False, errors_calculating=0,
    )  # fmt: skip
    session.add(row)
    session.flush()
    if is_static and body.get("_create_static_person_ids"):
        add_people(session, row, person_uuids(body, "_create_static_person_ids"))
    return row


def create_static_cohort(session: Session, project_id: int, name: str, uuids: Iterable[str]) -> CohortRow:
    """Add a static cohort of the people of the project who are called *uuids*."""
    row = create_cohort(session, project_id, {"name": name[:_MAX_NAME_CHARS], "is_static": True})
    set_people(session, project_id, row.id, uuids)
    return row


def change_cohort(session: Session, row: CohortRow, body: Mapping[str, Any], uses: Sequence[Use] = ()) -> None:
    """Set the fields that *body* names; new filters are calculated in the background.

    *uses* look for what else uses the cohort, which is then not deleted.
    """
    others = known_cohorts(session, row.team_id)
    if "name" in body:
        row.name = _name(body["name"])
    if "description" in body:
        row.description = _description(body["description"])
    if "filters" in body and not row.is_static:
        row.filters = _checked(row.id, body["filters"], others)
        row.is_calculating = True
    if "deleted" in body:
        if not isinstance(body["deleted"], bool):
            raise invalid_field("deleted", "invalid", "Must be a valid boolean.")
        if body["deleted"] and not row.deleted:
            _refuse_while_used(session, row, others, uses)
        row.deleted = body["deleted"]


def _refuse_while_used(session: Session, row: CohortRow, others: Mapping[int, CohortRow], uses: Sequence[Use]) -> None:
    names = [each.name[:100] for each in others.values() if each.id != row.id and row.id in cohort_ids(each.filters)]
    sentences = [use(session, row.team_id, row.id) for use in uses]
    if names:
        sentences.append(
            f"This cohort is used in {len(names)} other cohort(s): {', '.join(names)}."
            " Please remove the cohort from these cohorts before deleting it."
        )
    if used := [sentence for sentence in sentences if sentence]:
        raise ApiError(400, "validation_error", "invalid_input", " ".join(used))


def add_people(session: Session, row: CohortRow, uuids: Iterable[str]) -> None:
    """Add persons of the project to a static cohort; unknown ids are left out."""
    if not row.is_static:
        raise invalid_field("is_static", "invalid_input", "This cohort is dynamic: its people are calculated.")
    set_people(session, row.team_id, row.id, find_people_by_uuid(session, row.team_id, uuids), keep=True)


def person_uuids(body: Mapping[str, Any], name: str) -> list[str]:
    """Return the list of person ids in field *name*. Raises ApiError: it is none."""
    given = body.get(name)
    if not isinstance(given, list) or len(given) > _MAX_IDS:
        raise invalid_field(name, "required", f"This field is required: a list of at most {_MAX_IDS} person ids.")
    try:
        return [str(UUID(str(each))) for each in given]
    except ValueError as error:
        raise invalid_field(name, "invalid", "Each person id must be a valid UUID.") from error


def _checked(own_id: int | None, filters: object, others: Mapping[int, CohortRow]) -> dict[str, Any]:
    checked = check_filters(filters)
    refuse_circle(own_id, checked, {each.id: each.filters for each in others.values()})
    return checked


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise invalid_field("name", "required", "This field is required: a text.")
    if len(value.strip()) > _MAX_NAME_CHARS:
        raise invalid_field("name", "max_length", f"Ensure this field has no more than {_MAX_NAME_CHARS} characters.")
    return value.strip()


def _description(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise invalid_field("description", "invalid", "Not a valid string.")
    return (value or "")[:1_000]
