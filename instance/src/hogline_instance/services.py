"""The parts of a running instance, joined: opened in order, closed in reverse, so that what was accepted is stored."""

import fcntl
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hogline_instance.exceptions import DataFolderBusyError, SettingsError
from hogline_instance.ingest import acknowledge
from hogline_instance.journal import Commit, Journal
from hogline_instance.pipeline import Pipeline
from hogline_instance.pipeline.live import Live
from hogline_instance.projects import Projects
from hogline_instance.settings import Settings
from hogline_instance.store import Store

__all__ = ["Services", "open_projects", "open_services"]

_log = logging.getLogger("hogline.instance")
_DRAIN_S = 60.0
_LOCK_NAME = "lock"


@dataclass(frozen=True)
class Services:
    """What the rooms of a running instance share."""

    settings: Settings
    projects: Projects
    store: Store
    live: Live
    journal: Journal
    pipeline: Pipeline
    _unlock: Callable[[], None]

    def close(self) -> None:
        """Write and store what was accepted, then let go of the data folder."""
        self.journal.close()
        if not self.pipeline.close(_DRAIN_S):
            _log.warning("instance: the store did not take everything within %.0f s; the next start goes on", _DRAIN_S)
        self.live.close()
        self.store.close()
        self.projects.close()
        self._unlock()


def open_services(settings: Settings) -> Services:
    """Open the instance in `settings.data_dir`, creating it on first run.

    Raises DataFolderBusyError: another process holds the folder.  Raises SettingsError: it cannot be written.
    """
    unlock = _lock(_folder(settings))
    try:
        projects = open_projects(settings)
        store_url = settings.store_url or f"chdb:///{(settings.data_dir / 'store').resolve()}"
        store = Store(store_url, query_max_s=settings.query_max_s, query_max_bytes=settings.query_max_bytes)
        store.migrate()
    except BaseException:
        unlock()
        raise
    live = Live(max_waiting_events=settings.live_max_waiting_events)
    pipelines: list[Pipeline] = []

    def committed(commit: Commit) -> None:
        # The pipeline first: a request that was told 200 is on its way to the store.
        pipelines[0].add(commit.records)
        acknowledge(commit.waiters, commit.error)

    journal = Journal(
        settings.journal_dir,
        max_bytes=settings.journal_max_bytes,
        segment_bytes=settings.journal_segment_bytes,
        commit_window_s=settings.journal_commit_window_ms / 1000,
        on_commit=committed,
    )
    pipeline = Pipeline(
        store,
        journal,
        live,
        flush_rows=settings.flush_rows,
        flush_interval_s=settings.flush_interval_s,
        data_dir=settings.data_dir,
    )
    pipelines.append(pipeline)
    pipeline.start()
    return Services(settings, projects, store, live, journal, pipeline, unlock)


def open_projects(settings: Settings) -> Projects:
    """Open the projects' database alone; this is possible while another process serves the folder."""
    folder = _folder(settings)
    url = settings.database_url or f"sqlite:///{(folder / 'projects.sqlite3').resolve()}"
    return Projects(url, secrets_dir=folder)


def _folder(settings: Settings) -> Path:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(settings.data_dir, os.W_OK):
            raise PermissionError(13, "it cannot be written")
    except OSError as error:
        raise SettingsError(
            f"data_dir {settings.data_dir} cannot be used: {error.strerror}; choose another with --data"
        ) from error
    return settings.data_dir


def _lock(folder: Path) -> Callable[[], None]:
    """Hold the folder: two processes on one store corrupt it, and the engine's own message names nobody."""
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
