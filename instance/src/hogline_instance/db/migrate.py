"""Migrations: one line of numbered Alembic revisions for all features.

SQLite is backed up before its first change.
"""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine

from hogline_instance.exceptions import SettingsError

__all__ = ["migrate"]

_log = logging.getLogger("hogline.instance")


def migrate(engine: Engine, file: Path | None) -> None:
    """Apply the revisions that the database has not seen. The caller holds the lock.

    Raises SettingsError: a newer version of Hogline made the database.
    """
    config = Config()
    config.set_main_option("script_location", "hogline_instance.db:migrations")
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    if current is not None:
        _require_known(scripts, current)
        if file is not None:
            _back_up(file, current)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    _log.info("db: migrated from %s to %s", current or "nothing", scripts.get_current_head())


def _require_known(scripts: ScriptDirectory, revision: str) -> None:
    try:
        scripts.get_revision(revision)
    except CommandError as error:
        raise SettingsError(
            f"a newer version of Hogline made this database (its revision {revision} is unknown here);"
            " install that version, or choose another data folder with --data"
        ) from error


def _back_up(file: Path, revision: str) -> None:
    """Copy the database, including its write-ahead log, to `<file>.backup-<its revision>`."""
    target = file.with_name(f"{file.name}.backup-{revision}")
    partial = target.with_name(f"{target.name}.new")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(partial)) as copy:
        source.backup(copy)
    partial.replace(target)
    _log.info("db: copied the database to %s before changing its tables", target)
