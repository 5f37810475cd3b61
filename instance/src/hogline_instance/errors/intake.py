"""Find the issues of a batch's exceptions, create the missing ones, and reopen those that came back.

Several nodes may do this at the same moment: the unique fingerprint decides whose issue is kept.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, delete, insert, select, update
from sqlalchemy.orm import Session

from hogline_instance.db import aware, upsert, utc_now
from hogline_instance.errors.history import note
from hogline_instance.errors.occasions import CREATED, REOPENED, IssueOccasion
from hogline_instance.errors.prepared import Prepared, release_of
from hogline_instance.errors.rules import RuleSet
from hogline_instance.errors.tables import FingerprintRow, IssueRow

__all__ = ["Intake"]

_REOPENED_FROM = ("resolved", "archived", "pending_release")
_MAX_VALUES = 10_000  # SQLite binds at most 32,766 values in a statement

Key = tuple[int, str]


@dataclass(slots=True)
class _Known:
    issue_id: str
    status: str
    first_seen: datetime


class Intake:
    """The issues of one batch's exceptions. `run` it once, then ask it.

    Exceptions of the past (*is_history*) reopen nothing.
    """

    def __init__(
        self,
        session: Session,
        exceptions: Sequence[Prepared],
        rules: Mapping[int, RuleSet],
        *,
        is_history: bool = False,
    ) -> None:
        self._session = session
        self._exceptions = exceptions
        self._rules = rules
        self._is_history = is_history
        self._known: dict[Key, _Known] = {}
        self._keys: dict[str, Key] = {}
        self.occasions: list[IssueOccasion] = []
        """The issues that are new, and those that came back."""

    def run(self) -> None:
        """Find, create and reopen."""
        if not self._exceptions:
            return
        self._find({key for each in self._exceptions for key in _all_keys(each)})
        for each in self._exceptions:
            # An older version's fingerprint that has an issue keeps it.
            known = next((key for key in _all_keys(each) if key in self._known), None)
            self._choose(each, known)
        self._create()
        if not self._is_history:
            self._reopen()

    def issue_of(self, each: Prepared) -> str:
        """Return the id of its issue."""
        return self._known[self._keys[each.event.uuid]].issue_id

    def is_suppressed(self, each: Prepared) -> bool:
        """Return whether its issue is suppressed."""
        return self._known[self._keys[each.event.uuid]].status == "suppressed"

    def _choose(self, each: Prepared, known: Key | None) -> None:
        if known is not None:
            for fingerprint in each.candidates:
                if fingerprint.value == known[1]:
                    each.fingerprint = fingerprint
        self._keys[each.event.uuid] = known or _key(each)

    def _find(self, keys: Iterable[Key]) -> None:
        wanted = set(keys)
        texts = sorted({fingerprint for _, fingerprint in wanted})
        teams = {team for team, _ in wanted}
        for start in range(0, len(texts), _MAX_VALUES):
            query = (
                select(
                    FingerprintRow.team_id, FingerprintRow.fingerprint, FingerprintRow.first_seen, IssueRow.id, IssueRow.status
                )
                .join(IssueRow, IssueRow.id == FingerprintRow.issue_id)
                .where(FingerprintRow.team_id.in_(teams))
                .where(FingerprintRow.fingerprint.in_(texts[start : start + _MAX_VALUES]))
            )  # fmt: skip
            for team, fingerprint, first_seen, issue_id, status in self._session.execute(query):
                if (team, fingerprint) in wanted:
                    self._known[team, fingerprint] = _Known(issue_id, status, aware(first_seen))

    def _create(self) -> None:
        """Create an issue for each fingerprint that has none, and note the earliest event of each."""
        earliest: dict[Key, Prepared] = {}
        for each in self._exceptions:
            key = self._keys[each.event.uuid]
            if key not in earliest or each.event.timestamp < earliest[key].event.timestamp:
                earliest[key] = each
        new = {key: each for key, each in sorted(earliest.items()) if key not in self._known}
        made = {key: self._new_issue(each) for key, each in new.items()}
        if made:
            self._session.execute(insert(IssueRow), list(made.values()))
        changed = [
            self._fingerprint(key, made[key]["id"] if key in made else self._known[key].issue_id, each)
            for key, each in sorted(earliest.items())
            if key in made or each.event.timestamp < self._known[key].first_seen
        ]
        if changed:
            self._session.execute(self._upsert(), changed)
        if not made:
            return
        self._find(made)
        lost = [row["id"] for key, row in made.items() if self._known[key].issue_id != row["id"]]
        if lost:  # another node was first
            self._session.execute(delete(IssueRow).where(IssueRow.id.in_(lost)))
        kept = {key: row for key, row in made.items() if row["id"] not in set(lost)}
        note(
            self._session,
            [
                (key[0], row["id"], "created", {"release": release_of(new[key].merged), "event": new[key].event.uuid})
                for key, row in kept.items()
            ],
        )  # fmt: skip
        self.occasions += [
            _occasion(CREATED, new[key], row["id"], row, key=f"created:{row['id']}", status="active")
            for key, row in kept.items()
        ]

    def _new_issue(self, each: Prepared) -> dict[str, Any]:
        rules, merged = self._rules[each.event.team_id], each.merged
        severity = rules.first("severity", merged)
        return {
            "id": str(uuid.uuid4()),
            "team_id": each.event.team_id,
            "status": "active",
            "name": each.name,
            "description": each.description,
            "severity": severity.values.get("severity") if severity is not None else None,
            "created_at": utc_now(),
            **(_assignee(each.assignee) if each.assignee else self._assignee(each, merged)),
        }

    def _assignee(self, each: Prepared, merged: Mapping[str, Any]) -> dict[str, Any]:
        rule = self._rules[each.event.team_id].first("assignment", merged)
        return _assignee(rule.values.get("assignee") if rule is not None else None)

    def _fingerprint(self, key: Key, issue_id: str, each: Prepared) -> dict[str, Any]:
        return {
            "team_id": key[0], "fingerprint": key[1], "issue_id": issue_id, "first_seen": each.event.timestamp,
            "created_at": utc_now(), "version": 0, "squashed_version": 0,
        }  # fmt: skip

    def _upsert(self) -> Any:
        """Return the insert that keeps the issue of a known fingerprint, and its earliest time."""
        statement = upsert(self._session, FingerprintRow)
        return statement.on_conflict_do_update(
            index_elements=["team_id", "fingerprint"],
            set_={"first_seen": statement.excluded.first_seen},
            where=statement.excluded.first_seen < FingerprintRow.first_seen,
        )

    def _reopen(self) -> None:
        """Make issues active whose exceptions came back; one transaction alone gets each."""
        came_back: dict[str, Prepared] = {}
        for each in self._exceptions:
            known = self._known[self._keys[each.event.uuid]]
            if known.status in _REOPENED_FROM:
                came_back.setdefault(known.issue_id, each)
        if not came_back:
            return
        reopened = update(IssueRow).where(IssueRow.id.in_(came_back), IssueRow.status.in_(_REOPENED_FROM))
        columns = (IssueRow.id, IssueRow.name, IssueRow.description, IssueRow.severity, IssueRow.assignee_id)
        result: CursorResult[Any] = self._session.execute(
            reopened.values(status="active").returning(*columns), execution_options={"synchronize_session": False}
        )  # type: ignore[assignment]
        rows = {str(row.id): dict(row._mapping) for row in result}  # noqa: SLF001 - SQLAlchemy's public name
        mine = sorted(rows)
        note(
            self._session,
            [
                (came_back[each].event.team_id, each, "reopened", {
                    "release": release_of(came_back[each].merged), "event": came_back[each].event.uuid,
                })
                for each in mine
            ],
        )  # fmt: skip
        assigned = [
            {"id": issue_id, **assignee}
            for issue_id in mine
            if (assignee := self._assignee(came_back[issue_id], came_back[issue_id].merged))["assignee_type"]
        ]
        if assigned:
            self._session.execute(update(IssueRow), assigned)
            for changed in assigned:
                rows[changed["id"]] |= changed
        self.occasions += [
            _occasion(
                REOPENED, came_back[each], each, rows[each], key=f"reopened:{each}:{came_back[each].event.uuid}",
                status=self._known[self._keys[came_back[each].event.uuid]].status,
            )
            for each in mine
        ]  # fmt: skip


def _occasion(
    kind: str, prepared: Prepared, issue_id: str, row: Mapping[str, Any], *, key: str, status: str
) -> IssueOccasion:
    return IssueOccasion(
        kind=kind, key=key, project_id=prepared.event.team_id, issue_id=issue_id, name=row["name"],
        description=row["description"], severity=row["severity"], status=status, assignee=row["assignee_id"],
        at=prepared.event.timestamp, event_uuid=prepared.event.uuid, properties=prepared.merged,
    )  # fmt: skip


def _assignee(given: object) -> dict[str, Any]:
    """Return the columns of an assignee, as rules hold it."""
    if not isinstance(given, Mapping):
        return {"assignee_type": None, "assignee_id": None}
    return {"assignee_type": str(given.get("type")), "assignee_id": str(given.get("id"))}


def _key(each: Prepared) -> Key:
    assert each.fingerprint is not None
    return each.event.team_id, each.fingerprint.value


def _all_keys(each: Prepared) -> list[Key]:
    return [_key(each), *((each.event.team_id, older.value) for older in each.candidates)]
