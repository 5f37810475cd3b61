"""Who owns a key. Created with the first start; answers come from memory, since every request asks."""

import hashlib
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hogline_instance.exceptions import SettingsError
from hogline_instance.projects.tables import PersonalKeyRow, ProjectRow

__all__ = ["Project", "Projects"]

_KEY_FILE = "personal-key"
_MAX_REMEMBERED_KEYS = 10_000  # unknown keys are remembered too, so that guessing costs the guesser only


@dataclass(frozen=True, slots=True)
class Project:
    """The owner of events."""

    id: int
    name: str
    token: str


class Projects:
    """The projects of one database. Safe to use from any thread.

    Raises SettingsError: the database cannot be opened.
    """

    def __init__(self, database_url: str, *, secrets_dir: Path) -> None:
        try:
            self._engine = create_engine(database_url)
            if self._engine.dialect.name == "sqlite":
                event.listen(self._engine, "connect", _durable_sqlite)
            _migrate(self._engine)
        except (SQLAlchemyError, ImportError) as error:  # ImportError: the database's driver is not installed
            raise SettingsError(
                f"database_url cannot be opened: {error}; PostgreSQL is postgresql+psycopg://user:password@host/name "
                "and needs `pip install 'hogline-instance[postgres]'`"
            ) from error
        self._key_file = secrets_dir / _KEY_FILE
        self._lock = threading.Lock()
        self._by_token: dict[str, Project] = {}
        self._by_key: dict[str, Project | None] = {}
        self._current = self._first_or_new()

    def current(self) -> Project:
        """Return the project that the pages show and that `@current` means without a key."""
        return self._current

    def by_token(self, token: str) -> Project | None:
        """Return the project of a project token (`phc_...`), or None."""
        return self._by_token.get(token)

    def by_personal_key(self, key: str) -> Project | None:
        """Return the project that a personal key (`phx_...`) may read, or None."""
        hashed = _hash(key)
        with self._lock:
            if hashed in self._by_key:
                return self._by_key[hashed]
        with Session(self._engine) as session:
            row = session.scalar(
                select(ProjectRow)
                .join(PersonalKeyRow, PersonalKeyRow.project_id == ProjectRow.id)
                .where(PersonalKeyRow.key_hash == hashed)
            )
            found = _project(row) if row is not None else None
        with self._lock:
            if len(self._by_key) >= _MAX_REMEMBERED_KEYS:
                self._by_key.clear()
            self._by_key[hashed] = found
        return found

    def personal_key(self) -> str | None:
        """Return the personal key that the first start made, as its file keeps it for `hogline keys`; None if it is gone."""
        try:
            return self._key_file.read_text().strip() or None
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _first_or_new(self) -> Project:
        with Session(self._engine) as session:
            row = session.scalar(select(ProjectRow).order_by(ProjectRow.id))
            if row is None:
                row = ProjectRow(name="Default project", token=f"phc_{secrets.token_urlsafe(32)}")
                session.add(row)
                session.flush()
                key = f"phx_{secrets.token_urlsafe(32)}"
                session.add(PersonalKeyRow(project_id=row.id, key_hash=_hash(key)))
                self._key_file.touch(mode=0o600)
                self._key_file.write_text(f"{key}\n")
                session.commit()
            for each in session.scalars(select(ProjectRow)):
                self._by_token[each.token] = _project(each)
            return _project(row)


def _project(row: ProjectRow) -> Project:
    return Project(row.id, row.name, row.token)


def _hash(key: str) -> str:
    # A key has 256 random bits: it needs no salt and no slow hash.
    return f"sha256${hashlib.sha256(key.encode()).hexdigest()}"


def _durable_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", "hogline_instance.projects:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
