"""Rows as the pipeline's steps make them, for benchmarks of what comes after."""

import itertools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hogline_instance.db import Database
from hogline_instance.events.person_ids import person_uuid
from hogline_instance.events.row import EventRow, encode_row
from hogline_instance.features import FEATURES, StepParts
from hogline_instance.pipeline import StepRunner
from hogline_instance.projects.tables import ProjectRow
from hogline_instance.settings import Settings
from hogline_instance.store import Store

__all__ = ["admitted_rows", "prepared_rows"]

_MOMENT = "2026-11-24 12:00:00.000000"


def admitted_rows(events: Iterable[Mapping[str, Any]], project_id: int = 1) -> list[bytes]:
    """Return the rows of *events* as admission writes them to the journal."""
    return [
        encode_row(
            EventRow(
                team_id=project_id, uuid=str(uuid.uuid4()), event=event["event"], distinct_id=event["distinct_id"],
                timestamp_text=event.get("timestamp_text", _MOMENT), person_id=person_uuid(project_id, event["distinct_id"]),
                session_id=event["properties"].get("$session_id", ""),
                raw_properties=msgspec.Raw(msgspec.json.encode(event["properties"])),
                received_at=event.get("timestamp_text", _MOMENT)[:-3],
            )
        )
        for event in events
    ]  # fmt: skip


def prepared_rows(folder: Path, events: Sequence[Mapping[str, Any]], batches: int) -> list[Sequence[bytes]]:
    """Return the rows of *events* after all steps, in as many batches, which differ in their uuids."""
    database = Database(f"sqlite:///{folder}/rows.sqlite3")
    database.migrate()
    with database.transaction() as session:
        session.add(ProjectRow(id=1, name="bench", token="phc_bench"))
    parts = StepParts(Settings(data_dir=folder), database, Store("chdb:", query_max_s=60, query_max_bytes=2**31))
    steps = [feature.step(parts) for feature in FEATURES if feature.step is not None]
    runner = StepRunner(steps, database, journal_id="bench", folder=folder)
    names = itertools.count()
    made = [runner.run(f"batch-{next(names)}", admitted_rows(events)).lines for _ in range(batches + 1)]
    database.close()
    return made[1:]  # the first made the people
