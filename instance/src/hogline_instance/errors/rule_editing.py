"""A project's rules of one kind: read, made, changed, ordered and deleted, by the API and the pages.

Source: docs/internals/instance-protocol.md#error-rules-and-spikes.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hogline_instance.db import Database
from hogline_instance.errors.request_bodies import invalid_choice, read_assignee, required
from hogline_instance.errors.rules import SEVERITIES, FilterError, check_filters
from hogline_instance.errors.tables import RuleRow
from hogline_instance.project import Project
from hogline_instance.web.errors import ApiError, bad_request, not_found

__all__ = ["RuleEditor", "full_suppressions"]

_MAX_RULES = 500


def full_suppressions(session: Session, project_id: int) -> list[Mapping[str, Any]]:
    """Return the filters of the suppression rules that drop every exception that they match."""
    rows = _ordered(session, project_id, "suppression")
    return [row.filters for row in rows if row.disabled_data is None and row.values.get("sampling_rate") in {None, 1}]


class RuleEditor:
    """The rules of one kind.

    Its methods raise ApiError: a value cannot be used, or no rule has the id.
    """

    def __init__(self, database: Database, kind: str) -> None:
        self._database = database
        self.kind = kind

    def all(self, project: Project) -> dict[str, Any]:
        """Return a page of all rules in their order."""
        with self._database.session() as session:
            rows = _ordered(session, project.id, self.kind)
            return {"count": len(rows), "next": None, "previous": None, "results": [_json(row) for row in rows]}

    def get(self, project: Project, rule_id: str) -> dict[str, Any]:
        """Return one rule."""
        with self._database.session() as session:
            return _json(self._found(session, project, rule_id))

    def create(self, project: Project, body: Mapping[str, Any]) -> dict[str, Any]:
        """Add a rule after the others, and return it."""
        filters, values = _read_filters(required(body, "filters")), self._values(body, creating=True)
        with self._database.transaction() as session:
            of_kind = (RuleRow.team_id == project.id, RuleRow.kind == self.kind)
            count, last = session.execute(select(func.count(), func.max(RuleRow.order_key)).where(*of_kind)).one()
            if count >= _MAX_RULES:
                raise bad_request("filters", f"a project may have {_MAX_RULES} rules of a kind; delete one first")
            row = RuleRow(
                id=str(uuid.uuid4()), team_id=project.id, kind=self.kind, filters=filters, values=values,
                order_key=_order(body["order_key"]) if "order_key" in body else (last or 0) + 1 if count else 0,
            )  # fmt: skip
            session.add(row)
            session.flush()
            return _json(row)

    def change(self, project: Project, rule_id: str, body: Mapping[str, Any]) -> None:
        """Change a rule, and enable it when an error disabled it."""
        values = self._values(body, creating=False)
        with self._database.transaction() as session:
            row = self._found(session, project, rule_id)
            if "filters" in body:
                row.filters = _read_filters(body["filters"])
            if "order_key" in body:
                row.order_key = _order(body["order_key"])
            row.values = {**row.values, **values}
            row.disabled_data = None

    def delete(self, project: Project, rule_id: str) -> None:
        """Delete a rule."""
        with self._database.transaction() as session:
            session.delete(self._found(session, project, rule_id))

    def reorder(self, project: Project, body: Mapping[str, Any]) -> None:
        """Set the places of rules: `orders` maps an id to a number."""
        orders = required(body, "orders")
        if not isinstance(orders, Mapping):
            raise bad_request("orders", "orders must map the id of a rule to its place")
        with self._database.transaction() as session:
            for row in _ordered(session, project.id, self.kind):
                if row.id in orders:
                    row.order_key = _order(orders[row.id])

    def move(self, project: Project, rule_id: str, step: int) -> None:
        """Move a rule *step* places down, or up with a negative number."""
        with self._database.transaction() as session:
            rows = list(_ordered(session, project.id, self.kind))
            place = next((number for number, row in enumerate(rows) if row.id == rule_id), None)
            if place is None:
                raise not_found("Not found.")
            row = rows.pop(place)
            rows.insert(max(place + step, 0), row)
            for number, each in enumerate(rows):
                each.order_key = number

    def _found(self, session: Session, project: Project, rule_id: str) -> RuleRow:
        row = session.get(RuleRow, rule_id)
        if row is None or row.team_id != project.id or row.kind != self.kind:
            raise not_found("Not found.")
        return row

    def _values(self, body: Mapping[str, Any], *, creating: bool) -> dict[str, Any]:
        """Return the values that this kind has besides filters. Raises ApiError."""
        values: dict[str, Any] = {}
        if self.kind == "assignment" and (creating or "assignee" in body):
            values["assignee"] = read_assignee(required(body, "assignee"))
            if values["assignee"] is None:
                raise ApiError(400, "validation_error", "null", "This field may not be null.", "assignee")
        if self.kind == "grouping":
            if "assignee" in body:
                values["assignee"] = read_assignee(body["assignee"])
            if "description" in body:
                values["description"] = str(body["description"] or "")[:1_000]
        if self.kind == "suppression" and "sampling_rate" in body:
            values["sampling_rate"] = _share(body["sampling_rate"])
        if self.kind == "severity" and (creating or "severity" in body):
            if required(body, "severity") not in SEVERITIES:
                raise invalid_choice("severity", body["severity"])
            values["severity"] = body["severity"]
        return values


def _ordered(session: Session, project_id: int, kind: str) -> Sequence[RuleRow]:
    query = select(RuleRow).where(RuleRow.team_id == project_id, RuleRow.kind == kind)
    return session.scalars(query.order_by(RuleRow.order_key, RuleRow.created_at, RuleRow.id)).all()


def _read_filters(value: object) -> dict[str, Any]:
    try:
        check_filters(value)
    except FilterError as error:
        raise bad_request("filters", str(error)) from error
    assert isinstance(value, dict)
    return value


def _share(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise bad_request("sampling_rate", f"sampling_rate must be from 0 to 1, got {str(value)[:50]!r}")
    return float(value)


def _order(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise bad_request("order_key", f"a place must be a whole number, got {str(value)[:50]!r}")
    return value


def _json(row: RuleRow) -> dict[str, Any]:
    return {
        "id": row.id, "filters": row.filters, "order_key": row.order_key, "disabled_data": row.disabled_data, **row.values,
    }  # fmt: skip
