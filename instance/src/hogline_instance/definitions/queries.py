"""The values of an event property that were seen lately, asked of the store."""

from hogline_instance.store import EVENTS_TABLE, Store

__all__ = ["event_values"]

_DAYS = 7
_ROWS = 200_000  # enough to find the frequent values; a suggestion need not be exact


def event_values(
    store: Store, project_id: int, key: str, *, text: str = "", event: str | None = None, limit: int = 10
) -> list[tuple[str, int]]:
    """Return the most frequent values of property *key* that contain *text*, with their counts."""
    only = " AND event = {event:String}" if event else ""
    rows = store.query(
        "SELECT if(JSONType(properties, {key:String}) = 'String', JSONExtractString(properties, {key:String}),"  # noqa: S608 - constants
        " JSONExtractRaw(properties, {key:String})) AS value, count() AS uses FROM (SELECT properties"
        f" FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND timestamp > now() - INTERVAL {_DAYS} DAY{only}"
        f" AND JSONHas(properties, {{key:String}}) LIMIT {_ROWS})"
        " WHERE positionCaseInsensitiveUTF8(value, {text:String}) > 0 AND length(value) < 1000"
        " GROUP BY value ORDER BY uses DESC, value LIMIT {limit:UInt32}",
        {"project": project_id, "key": key, "text": text, "event": event or "", "limit": limit},
    )
    return [(str(row["value"]), int(str(row["uses"]))) for row in rows]
