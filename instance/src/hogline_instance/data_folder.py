"""The data folder: created on first run, locked by one process at a time.

It holds the SQLite database, unless database_url names another database.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from hogline_instance.db import Database
from hogline_instance.exceptions import DataFolderBusyError, SettingsError
from hogline_instance.settings import Settings

__all__ = ["lock_folder", "open_database", "prepare_folder"]

_LOCK_NAME = "lock"
_SQLITE_NAME = "projects.sqlite3"


def prepare_folder(settings: Settings) -> Path:
    """Return the data folder; create it when it is missing.

    Raises SettingsError: the folder cannot be written.
    """
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(settings.data_dir, os.W_OK):
            raise PermissionError(13, "it cannot be written")
    except OSError as error:
        raise SettingsError(
            f"data_dir {settings.data_dir} cannot be used: {error.strerror}; choose another with --data"
        ) from error
    return settings.data_dir


def lock_folder(folder: Path) -> Callable[[], None]:
    """Lock *folder* until the returned function is called.

    Two processes on one embedded store would corrupt it.

    Raises DataFolderBusyError: another process holds the lock. It names that process, which the
    store's own message would not.
    """
    handle = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise DataFolderBusyError(
            f"the data folder {folder} is held by process {holder}; stop that one, or choose another folder with --data"
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())

    def unlock() -> None:
        os.close(handle)

    return unlock


def open_database(settings: Settings) -> Database:
    """Open and migrate the SQL database, also while another process serves the folder.

    Raises SettingsError: the database cannot be opened.
    """
    folder = prepare_folder(settings)
    database = Database(settings.database_url or f"sqlite:///{(folder / _SQLITE_NAME).resolve()}")
    try:
        database.migrate()
    except BaseException:
        database.close()
        raise
    return database
