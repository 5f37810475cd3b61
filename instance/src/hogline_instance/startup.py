"""Open the parts of an instance in order, and close them in reverse order.

Closing stores the accepted events.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from hogline_instance.data_folder import lock_folder, open_database, prepare_folder
from hogline_instance.db import Database
from hogline_instance.features import FEATURES, Feature, StepParts
from hogline_instance.ingest import JournalWriter, acknowledge
from hogline_instance.jobs import Job, JobRunner
from hogline_instance.journal import Commit, Journal
from hogline_instance.live.bus import MemoryBus
from hogline_instance.memory import return_unused
from hogline_instance.pipeline import LiveBus, Pipeline, StepRunner
from hogline_instance.projects import Projects
from hogline_instance.services import Services
from hogline_instance.settings import Settings
from hogline_instance.store import Store

__all__ = ["open_services"]

_log = logging.getLogger("hogline.instance")
_DRAIN_S = 60.0
_RETURN_MEMORY_EVERY_S = 30.0


def open_services(settings: Settings, features: Sequence[Feature] = FEATURES) -> Services:
    """Open the instance in `settings.data_dir`, creating it on first run.

    Raises DataFolderBusyError: another process holds the folder. Raises SettingsError: the folder
    cannot be written, or the database cannot be opened. Raises StoreError: the store cannot be
    opened.
    """
    with ExitStack() as opening:
        folder = prepare_folder(settings)
        opening.callback(lock_folder(folder))
        database = open_database(settings)
        opening.callback(database.close)
        projects = Projects(
            database,
            secrets_dir=folder,
            max_age_s=settings.project_lookup_max_age_s,
            holds_events=(folder / "store").is_dir(),
        )
        store = _open_store(settings, database)
        opening.callback(store.close)
        live = MemoryBus(max_waiting_events=settings.live_max_waiting_events, max_readers=settings.live_max_readers)
        opening.callback(live.close)
        journal, pipeline = _open_pipeline(settings, database, store, live, features)
        opening.callback(_close_pipeline, journal, pipeline)
        opened = opening.pop_all()
    services = Services(
        settings=settings,
        database=database,
        projects=projects,
        store=store,
        live=live,
        journal=journal,
        pipeline=pipeline,
        writer=JournalWriter(journal, pipeline, max_waiting_bytes=settings.pipeline_max_waiting_bytes),
        browser_config=_browser_config(settings, features),
        close=opened.close,
    )
    jobs = JobRunner(
        [
            Job("unused-memory", _RETURN_MEMORY_EVERY_S, return_unused),
            *(job for feature in features if feature.jobs is not None for job in feature.jobs(services)),
        ]
    )
    opened.callback(jobs.close)
    return services


def _open_store(settings: Settings, database: Database) -> Store:
    store = Store(
        settings.store_url or f"chdb:///{(settings.data_dir / 'store').resolve()}",
        cluster=settings.store_cluster,
        query_max_s=settings.query_max_s,
        query_max_bytes=settings.query_max_bytes,
    )
    # Processes that share a ClickHouse cluster share the SQL database too, so its lock serves both.
    with database.exclusive("store-migrations"):
        store.migrate()
    return store


def _open_pipeline(
    settings: Settings, database: Database, store: Store, live: LiveBus, features: Sequence[Feature]
) -> tuple[Journal, Pipeline]:
    pipelines: list[Pipeline] = []

    def committed(commit: Commit) -> None:
        # Queue the records before the request gets its 200, so that every acknowledged event is
        # in the pipeline.
        pipelines[0].add(commit.records)
        acknowledge(commit.waiters, commit.error)

    journal = Journal(
        settings.journal_dir,
        max_bytes=settings.journal_max_bytes,
        segment_bytes=settings.journal_segment_bytes,
        commit_window_s=settings.journal_commit_window_ms / 1000,
        on_commit=committed,
    )
    parts = StepParts(settings, database, store)
    steps = [feature.step(parts) for feature in features if feature.step is not None]
    pipeline = Pipeline(
        store,
        journal,
        live,
        steps=StepRunner(steps, database, journal_id=journal.id, folder=settings.data_dir) if steps else None,
        flush_rows=settings.flush_rows,
        flush_interval_s=settings.flush_interval_s,
        data_dir=settings.data_dir,
    )
    pipelines.append(pipeline)
    pipeline.start()
    return journal, pipeline


def _close_pipeline(journal: Journal, pipeline: Pipeline) -> None:
    journal.close()
    if not pipeline.close(_DRAIN_S):
        _log.warning("instance: not everything was stored within %.0f s; the next start stores the rest", _DRAIN_S)


def _browser_config(settings: Settings, features: Sequence[Feature]) -> Mapping[str, object]:
    config: dict[str, object] = {}
    for feature in features:
        if feature.browser_config is not None:
            config |= feature.browser_config(settings)
    return config
