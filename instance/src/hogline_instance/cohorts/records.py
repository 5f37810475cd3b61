"""The rows of a project's cohorts, and their records in PostHog's shape."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.cohorts.editing import found_cohort
from hogline_instance.cohorts.filters import is_behavioural
from hogline_instance.cohorts.listing import count_people
from hogline_instance.cohorts.tables import CohortRow
from hogline_instance.db import Database, aware
from hogline_instance.people import iso
from hogline_instance.project import Project
from hogline_instance.web.schemas import json_response

__all__ = ["Cohorts"]


class Cohorts:
    """The rows of cohorts, and their records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def found(self, project: Project, cohort_id: int) -> Iterator[tuple[Session, CohortRow]]:
        """Yield a transaction and the cohort in it. Raises ApiError: there is none."""
        with self._database.transaction() as session:
            yield session, found_cohort(session, project.id, cohort_id)

    def listed(self, project: Project, kind: str, search: str, *, hides_behavioural: bool) -> list[CohortRow]:
        """Return the cohorts that match, the newest first."""
        query = select(CohortRow).where(CohortRow.team_id == project.id, CohortRow.deleted.is_(False))
        if kind:
            query = query.where(CohortRow.is_static.is_(kind == "static"))
        with self._database.session() as session:
            rows = session.scalars(query.order_by(CohortRow.id.desc())).all()
        return [
            row
            for row in rows
            if search.lower() in row.name.lower() and not (hides_behavioural and is_behavioural(row.filters))
        ]

    def answer(self, project: Project, cohort_id: int, status: int = 200) -> Response:
        """Return the response with the record of a cohort."""
        with self._database.session() as session:
            row = found_cohort(session, project.id, cohort_id)
        answer = json_response(self.records(project, [row])[0])
        answer.status_code = status
        return answer

    def records(self, project: Project, rows: list[CohortRow]) -> list[dict[str, Any]]:
        """Return the records of *rows* in PostHog's shape."""
        with self._database.session() as session:
            counts = count_people(session, project.id, [row.id for row in rows])
        return [
            {
                "id": row.id,
                "name": row.name,
                "description": row.description,
                "groups": [],
                "deleted": row.deleted,
                "filters": row.filters,
                "query": None,
                "is_calculating": row.is_calculating,
                "created_by": None,
                "created_at": iso(aware(row.created_at)),
                "last_calculation": iso(aware(row.last_calculation)) if row.last_calculation is not None else None,
                "errors_calculating": row.errors_calculating,
                "last_error_message": row.last_error,
                "count": None if row.last_calculation is None and not row.is_static else counts[row.id],
                "is_static": row.is_static,
                "cohort_type": "static" if row.is_static else ("behavioral" if is_behavioural(row.filters) else "person_property"),
                "experiment_set": [],
            }
            for row in rows
        ]  # fmt: skip
