"""Find the project of a key.

Lookups are served from memory, which is refreshed often, since other processes make projects and
keys too.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hogline_instance.db import Database
from hogline_instance.exceptions import SettingsError
from hogline_instance.project import CHOSEN_PROJECT, PersonalKey, Project
from hogline_instance.projects.tables import PersonalKeyRow, ProjectRow
from hogline_instance.projects.tokens import hash_key, new_token

__all__ = ["Projects"]

_log = logging.getLogger("hogline.instance")
_KEY_FILE = "personal-key"
_MAX_REMEMBERED_KEYS = 10_000  # unknown keys are cached too, so that guessing keys costs no SQL


@dataclass(frozen=True, slots=True)
class _Known:
    """The projects as they were last read, by each of the ways to find one."""

    by_id: dict[int, Project]
    by_token: dict[str, Project]
    by_secret: dict[str, Project]


class Projects:
    """The projects of one database. Safe to use from any thread.

    Projects are read by `refresh`, which a job calls every `project_lookup_max_age_s`: events are
    admitted on the event loop, which must not wait for SQL. A personal key is looked up when a
    request brings it, and cached for the same time.
    """

    def __init__(
        self,
        database: Database,
        *,
        secrets_dir: Path,
        max_age_s: float,
        holds_events: bool = False,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._key_file = secrets_dir / _KEY_FILE
        self._max_age_s = max_age_s
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._by_key: dict[str, tuple[float, PersonalKey | None]] = {}
        self._known = _Known({}, {}, {})
        with database.exclusive("first-project"):
            self._make_first(holds_events=holds_events)
        self._read()

    def current(self) -> Project:
        """Return the project of the page that is being built: the visitor's choice, or the first."""
        known = self._known.by_id
        return known.get(CHOSEN_PROJECT.get() or 0) or next(iter(known.values()))

    def all(self) -> tuple[Project, ...]:
        """Return every project, by id."""
        return tuple(self._known.by_id.values())

    def by_id(self, project_id: int) -> Project | None:
        """Return the project with this id, or None."""
        return self._known.by_id.get(project_id)

    def by_token(self, token: str) -> Project | None:
        """Return the project of a project token (`phc_...`), or None."""
        return self._known.by_token.get(token)

    def by_secret_token(self, token: str) -> Project | None:
        """Return the project of a secret token (`phs_...`), or None."""
        return self._known.by_secret.get(token)

    def by_personal_key(self, key: str) -> Project | None:
        """Return the project of a personal key (`phx_...`), or None."""
        known = self.find_personal_key(key)
        return known.project if known is not None else None

    def find_personal_key(self, key: str) -> PersonalKey | None:
        """Return the personal key (`phx_...`) with its scopes, or None."""
        hashed = hash_key(key)
        with self._lock:
            known_at_s, found = self._by_key.get(hashed, (float("-inf"), None))
        if self._clock_s() - known_at_s < self._max_age_s:
            return found
        with self._database.session() as session:
            row = session.execute(
                select(PersonalKeyRow, ProjectRow)
                .join(ProjectRow, PersonalKeyRow.project_id == ProjectRow.id)
                .where(PersonalKeyRow.key_hash == hashed)
            ).one_or_none()
            found = _personal_key(*row) if row is not None else None
        with self._lock:
            if len(self._by_key) >= _MAX_REMEMBERED_KEYS:
                self._by_key.clear()
            self._by_key[hashed] = (self._clock_s(), found)
        return found

    def personal_key(self) -> str | None:
        """Return the personal key that the first start wrote to a file, or None."""
        try:
            return self._key_file.read_text().strip() or None
        except FileNotFoundError:
            return None

    def refresh(self) -> None:
        """Reload the projects.

        While the database is unavailable, the known projects stay known.
        """
        try:
            # One read after the other: an earlier one that ends later would take a new project away.
            with self._reading:
                self._read()
        except SQLAlchemyError as error:
            _log.warning("projects: reload failed: %s", str(error)[:300])

    def forget_keys(self) -> None:
        """Ask the database again for every personal key, after a change to keys or projects."""
        with self._lock:
            self._by_key.clear()

    def _read(self) -> None:
        with self._database.session() as session:
            rows = session.scalars(select(ProjectRow).order_by(ProjectRow.id)).all()
        found = {row.id: _project(row) for row in rows}
        if found:
            self._known = _Known(
                found,
                {row.token: found[row.id] for row in rows},
                {
                    token: found[row.id]
                    for row in rows
                    for token in (row.secret_token_backup, row.secret_token)
                    if token
                },
            )

    def _make_first(self, *, holds_events: bool) -> None:
        with self._database.transaction() as session:
            if session.scalar(select(ProjectRow.id).limit(1)) is not None:
                return
            if holds_events and self._key_file.exists():
                # New keys would replace the old ones, and every app with the old token would get
                # 200 while its events are dropped.
                raise SettingsError(
                    f"{self._key_file.parent} holds events and a key, but its SQL database has no project: restore the"
                    " database (a copy from before the last migration lies beside it), or set HOGLINE_DATABASE_URL to"
                    f" the one that was used; to begin anew with other keys, remove {self._key_file}"
                )
            self._make_project(session, "Default project")

    def _make_project(self, session: Session, name: str) -> None:
        row = ProjectRow(name=name, token=new_token("phc_"))
        session.add(row)
        session.flush()
        key = new_token("phx_")
        session.add(PersonalKeyRow(project_id=row.id, key_hash=hash_key(key)))
        # Write the file before the commit: after a crash between the two, nobody could read the
        # key of the new project.
        self._key_file.touch(mode=0o600)
        self._key_file.write_text(f"{key}\n")


def _project(row: ProjectRow) -> Project:
    return Project(row.id, row.name, row.token, dict(row.settings or {}))


def _personal_key(row: PersonalKeyRow, project: ProjectRow) -> PersonalKey:
    return PersonalKey(
        row.id,
        row.label or "",
        _project(project),
        frozenset(row.scopes if row.scopes is not None else ("*",)),
        frozenset(row.project_ids) if row.project_ids is not None else None,
    )
