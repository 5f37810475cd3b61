"""The parts of a running instance that features use.

`startup` opens them; this module only declares them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hogline_instance.db import Database
from hogline_instance.ingest import JournalWriter
from hogline_instance.journal import Journal
from hogline_instance.pipeline import LiveBus, Pipeline
from hogline_instance.project import ProjectLookup
from hogline_instance.settings import Settings
from hogline_instance.store import Store

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that the features of a running instance share."""

    settings: Settings
    database: Database
    projects: ProjectLookup
    store: Store
    live: LiveBus
    journal: Journal
    pipeline: Pipeline
    writer: JournalWriter
    browser_config: Mapping[str, object]
    """The remote config of posthog-js, merged from the features' parts."""
    close: Callable[[], None]
    """Write and store the accepted events, then unlock the data folder."""
