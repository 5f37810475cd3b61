"""Change people and groups through events, so that the step and the history see every change."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from hogline_instance.events.person_ids import person_uuid
from hogline_instance.events.row import EventRow, encode_row, time_text
from hogline_instance.services import Services

__all__ = ["send_event"]


async def send_event(
    services: Services, project_id: int, event: str, distinct_id: str, properties: Mapping[str, Any]
) -> None:
    """Append an event of ours to the journal, like one that a client sent."""
    now = datetime.now(UTC)
    row = EventRow(
        team_id=project_id,
        uuid=str(uuid.uuid4()),
        event=event,
        distinct_id=distinct_id,
        timestamp_text=time_text(now),
        person_id=person_uuid(project_id, distinct_id),
        raw_properties=msgspec.Raw(orjson.dumps({"$lib": "hogline-instance", **properties})),
        received_at=time_text(now)[:-3],
    )
    await services.writer.write(encode_row(row))
