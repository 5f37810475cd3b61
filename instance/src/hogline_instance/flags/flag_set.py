"""The flags of a project as they are now: compiled for evaluation, and as definitions for SDKs.

Requests are answered from memory. A job compares one line of sums for each project with the
database, since another process may have changed a flag.
"""

import hashlib
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hogline.flags.evaluation import Ruleset
from hogline_instance.db import Database
from hogline_instance.flags.definitions import definition_of, missing_dependencies
from hogline_instance.flags.neighbours import Cohorts, cohorts_of, group_types_of
from hogline_instance.flags.tables import FlagRow

__all__ = ["FlagSet", "FlagSets", "ServedFlag", "flag_sets"]

_log = logging.getLogger("hogline.instance")


@dataclass(frozen=True, slots=True)
class ServedFlag:
    """The fields of an active flag that `/flags/` needs besides its evaluation."""

    id: int
    key: str
    version: int
    name: str
    runtime: str
    contexts: frozenset[str]
    continuity: bool
    is_encrypted: bool
    condition_count: int


@dataclass(frozen=True, slots=True)
class FlagSet:
    """All flags of one project at one moment."""

    flags: tuple[ServedFlag, ...]
    """The active ones, by key."""
    ruleset: Ruleset
    """All of them, remote config too, for evaluation on the server."""
    definitions: bytes
    etag: bytes
    group_types: Mapping[str, str]
    """Index as text -> type."""
    cohorts: Cohorts
    missing: frozenset[str]
    """Keys of flags that depend on a flag that is gone."""
    initial_names: frozenset[str]
    """The `$initial_*` properties that filters ask for."""
    reads_people: bool
    """Whether any answer depends on what is stored of people and groups."""
    continuity_keys: tuple[str, ...]
    """The keys of the flags that keep a person's answer across their login."""


class FlagSets:
    """The flag sets of all projects. Safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._sets: dict[int, tuple[object, FlagSet]] = {}
        self._read()

    def of(self, project_id: int) -> FlagSet:
        """Return the flags of a project, from memory."""
        known = self._sets.get(project_id)
        return known[1] if known is not None else _EMPTY

    def refresh(self) -> None:
        """Read the flags that changed. While the database is unavailable, the known ones stay."""
        try:
            self._read()
        except SQLAlchemyError as error:
            _log.warning("flags: reload failed: %s", str(error)[:300])

    def _read(self) -> None:
        with self._lock, self._database.session() as session:
            known = dict(self._sets)
            fresh: dict[int, tuple[object, FlagSet]] = {}
            for project_id, signature in _signatures(session).items():
                held = known.get(project_id)
                if held is not None and held[0] == signature:
                    fresh[project_id] = held
                else:
                    fresh[project_id] = (signature, read_flag_set(session, project_id))
            self._sets = fresh


_ALL: "WeakKeyDictionary[Database, FlagSets]" = WeakKeyDictionary()
_ALL_LOCK = threading.Lock()


def flag_sets(database: Database) -> FlagSets:
    """Return the flag sets of *database*, which endpoints, API, pages and jobs share."""
    with _ALL_LOCK:
        found = _ALL.get(database)
        if found is None:
            found = _ALL[database] = FlagSets(database)
        return found


def _signatures(session: Session) -> dict[int, object]:
    rows = session.execute(
        select(
            FlagRow.team_id, func.count(), func.sum(FlagRow.version), func.max(FlagRow.id), func.max(FlagRow.updated_at)
        )
        .where(FlagRow.deleted.is_(False))
        .group_by(FlagRow.team_id)
    )
    return {
        row[0]: (*row[1:], tuple(group_types_of(session, row[0]).items()), cohorts_of(session, row[0]))
        for row in rows.all()
    }


def read_flag_set(session: Session, project_id: int) -> FlagSet:
    """Return the flags of a project as the database has them."""
    rows = session.scalars(
        select(FlagRow).where(FlagRow.team_id == project_id, FlagRow.deleted.is_(False)).order_by(FlagRow.key)
    ).all()
    return _flag_set(rows, group_types_of(session, project_id), cohorts_of(session, project_id))


def _flag_set(rows: Sequence[FlagRow], group_types: Mapping[str, str], cohorts: Cohorts) -> FlagSet:
    by_id = {row.id: row for row in rows}
    definitions = [definition_of(row, by_id) for row in rows]
    local = {
        "flags": [
            definition for definition, row in zip(definitions, rows, strict=True) if not row.is_remote_configuration
        ],
        "group_type_mapping": dict(group_types),
        "cohorts": dict(cohorts.definitions),
    }
    body = orjson.dumps(local)
    texts = body.decode()
    return FlagSet(
        flags=tuple(_served(row) for row in rows if row.active),
        ruleset=Ruleset({**local, "flags": definitions, "cohorts": cohorts.for_server()}),
        definitions=body,
        etag=f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'.encode(),
        group_types=dict(group_types),
        cohorts=cohorts,
        missing=missing_dependencies(rows),
        # Few projects have such filters, and to walk hundreds of definitions takes 20 ms.
        initial_names=frozenset(name for name in _property_names(local) if name.startswith("$initial_"))
        if '"$initial_' in texts else frozenset(),
        reads_people='"properties":[{' in texts or any(row.ensure_experience_continuity for row in rows)
        or any((row.filters or {}).get("feature_enrollment") for row in rows),
        continuity_keys=tuple(row.key for row in rows if row.active and row.ensure_experience_continuity),
    )  # fmt: skip


def _property_names(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        own = {value["key"]} if isinstance(value.get("key"), str) else set()
        return own.union(*(_property_names(each) for each in value.values()))
    return set().union(*(_property_names(each) for each in value)) if isinstance(value, list) else set()


def _served(row: FlagRow) -> ServedFlag:
    return ServedFlag(
        row.id, row.key, row.version, row.name, row.evaluation_runtime, frozenset(row.evaluation_contexts or ()),
        row.ensure_experience_continuity, row.has_encrypted_payloads, len((row.filters or {}).get("groups") or ()),
    )  # fmt: skip


_EMPTY = _flag_set([], {}, Cohorts())
