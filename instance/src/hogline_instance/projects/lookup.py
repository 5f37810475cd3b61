"""Find the project of a key.

Lookups are served from memory, which is refreshed often, since other processes make projects and
keys too.
"""

import hashlib
import logging
import secrets
import string
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hogline_instance.db import Database
from hogline_instance.exceptions import SettingsError
from hogline_instance.project import Project
from hogline_instance.projects.tables import PersonalKeyRow, ProjectRow

__all__ = ["Projects"]

_log = logging.getLogger("hogline.instance")
_KEY_FILE = "personal-key"
_ALPHABET = string.ascii_letters + string.digits
_MAX_REMEMBERED_KEYS = 10_000  # unknown keys are cached too, so that guessing keys costs no SQL


class Projects:
    """The projects of one database. Safe to use from any thread.

    Tokens are read by `refresh`, which a job calls every `project_lookup_max_age_s`: events are
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
        self._by_key: dict[str, tuple[float, Project | None]] = {}
        self._by_token: dict[str, Project] = {}
        with database.exclusive("first-project"):
            self._make_first(holds_events=holds_events)
        self._read()

    def current(self) -> Project:
        """Return the project of the pages, and of `@current` in a request without a key."""
        return next(iter(self._by_token.values()))

    def by_token(self, token: str) -> Project | None:
        """Return the project of a project token (`phc_...`), or None."""
        return self._by_token.get(token)

    def by_personal_key(self, key: str) -> Project | None:
        """Return the project that a personal key (`phx_...`) may read, or None."""
        hashed = _hash(key)
        with self._lock:
            known_at_s, project = self._by_key.get(hashed, (float("-inf"), None))
        if self._clock_s() - known_at_s < self._max_age_s:
            return project
        with self._database.session() as session:
            row = session.scalar(
                select(ProjectRow)
                .join(PersonalKeyRow, PersonalKeyRow.project_id == ProjectRow.id)
                .where(PersonalKeyRow.key_hash == hashed)
            )
            project = _project(row) if row is not None else None
        with self._lock:
            if len(self._by_key) >= _MAX_REMEMBERED_KEYS:
                self._by_key.clear()
            self._by_key[hashed] = (self._clock_s(), project)
        return project

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
            self._read()
        except SQLAlchemyError as error:
            _log.warning("projects: reload failed: %s", str(error)[:300])

    def _read(self) -> None:
        with self._database.session() as session:
            rows = session.scalars(select(ProjectRow).order_by(ProjectRow.id))
            found = {row.token: _project(row) for row in rows}
        if found:
            self._by_token = found

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
        row = ProjectRow(name=name, token=f"phc_{_random_text()}")
        session.add(row)
        session.flush()
        key = f"phx_{_random_text()}"
        session.add(PersonalKeyRow(project_id=row.id, key_hash=_hash(key)))
        # Write the file before the commit: after a crash between the two, nobody could read the
        # key of the new project.
        self._key_file.touch(mode=0o600)
        self._key_file.write_text(f"{key}\n")


def _project(row: ProjectRow) -> Project:
    return Project(row.id, row.name, row.token)


def _random_text() -> str:
    # Only alphanumeric characters, since a double click selects all of them. 43 are 256 bits.
    return "".join(secrets.choice(_ALPHABET) for _ in range(43))


def _hash(key: str) -> str:
    # A key has 256 random bits, so it needs neither salt nor a slow hash.
    return f"sha256${hashlib.sha256(key.encode()).hexdigest()}"
