"""Rows of the events table as ingest writes them and live readers see them. The client's properties keep their bytes."""

from datetime import UTC, datetime

import msgspec

from hogline_instance.pipeline.live import LiveEvent

__all__ = ["row_bytes", "to_live"]

_encode = msgspec.json.Encoder().encode


class _Row(msgspec.Struct):
    team_id: int
    uuid: str
    event: str
    distinct_id: str
    timestamp: str
    properties: msgspec.Raw
    session_id: str = ""


_decoder = msgspec.json.Decoder(_Row)


def row_bytes(
    *,
    project_id: int,
    uuid: str,
    event: str,
    distinct_id: str,
    timestamp: str,
    person_id: str,
    session_id: str,
    properties: bytes,
    elements_chain: str,
    personless: bool,
    received_at: str,
) -> bytes:
    """Return one line for the store: times as `YYYY-MM-DD hh:mm:ss.ffffff` in UTC, *properties* as the JSON object it came as."""
    return (
        b'{"team_id":%d,"uuid":"%b","event":%b,"distinct_id":%b,"timestamp":"%b","person_id":"%b","session_id":%b,'
        b'"elements_chain":%b,"person_mode":"%b","received_at":"%b","properties":%b}'
    ) % (
        project_id,
        uuid.encode(),
        _encode(event),
        _encode(distinct_id),
        timestamp.encode(),
        person_id.encode(),
        _encode(session_id),
        _encode(elements_chain),
        b"propertyless" if personless else b"full",
        received_at.encode(),
        properties,
    )


def to_live(line: bytes) -> LiveEvent:
    """Return the row *line* as live readers see it."""
    row = _decoder.decode(line)
    timestamp = datetime.fromisoformat(row.timestamp).replace(tzinfo=UTC)
    return LiveEvent(
        row.uuid, row.event, row.distinct_id, row.session_id, timestamp, bytes(row.properties), row.team_id
    )
