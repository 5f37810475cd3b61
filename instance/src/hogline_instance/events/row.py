"""The row of an event: the one declaration that admission, pipeline, store and queries follow.

To add a column: add a field with a default here, and a migration `store/schema/NNNN_*.sql` that
adds it to the table. A test compares the two.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec

__all__ = ["NO_ISSUE", "Column", "EventRow", "encode_row", "time_text"]


@dataclass(frozen=True, slots=True)
class Column:
    """The type of a field in the store.

    Types that its driver does not read back as strings are read *as_text*. A column that is not
    *listed* is written, and read only by queries that name it.
    """

    type: str
    as_text: bool = False
    listed: bool = True


NO_ISSUE = "00000000-0000-0000-0000-000000000000"


class EventRow(msgspec.Struct, kw_only=True):
    """One row of the events table. A pipeline step may change its fields.

    Times are text in UTC, `YYYY-MM-DD hh:mm:ss.ffffff`. The properties keep the bytes that the
    client sent.
    """

    team_id: Annotated[int, Column("UInt32")]
    uuid: Annotated[str, Column("UUID", as_text=True)]
    event: Annotated[str, Column("LowCardinality(String)")]
    distinct_id: Annotated[str, Column("String")]
    timestamp_text: Annotated[str, Column("DateTime64(6, 'UTC')", as_text=True)] = msgspec.field(name="timestamp")
    person_id: Annotated[str, Column("UUID", as_text=True)] = "00000000-0000-0000-0000-000000000000"
    raw_person_properties: Annotated[msgspec.Raw, Column("String", listed=False)] = msgspec.field(
        name="person_properties", default=msgspec.Raw(b"{}")
    )
    group_0: Annotated[str, Column("String")] = msgspec.field(name="$group_0", default="")
    group_1: Annotated[str, Column("String")] = msgspec.field(name="$group_1", default="")
    group_2: Annotated[str, Column("String")] = msgspec.field(name="$group_2", default="")
    group_3: Annotated[str, Column("String")] = msgspec.field(name="$group_3", default="")
    group_4: Annotated[str, Column("String")] = msgspec.field(name="$group_4", default="")
    session_id: Annotated[str, Column("String")] = ""
    raw_properties: Annotated[msgspec.Raw, Column("String")] = msgspec.field(
        name="properties", default=msgspec.Raw(b"{}")
    )
    elements_chain: Annotated[str, Column("String")] = ""
    person_mode: Annotated[str, Column("Enum8('full' = 0, 'propertyless' = 1, 'force_upgrade' = 2)", as_text=True)] = (
        "full"
    )
    issue_id: Annotated[str, Column("UUID", as_text=True)] = NO_ISSUE
    received_at: Annotated[str, Column("DateTime64(3, 'UTC')", as_text=True)] = "1970-01-01 00:00:00.000"


_encoder = msgspec.json.Encoder()


def time_text(moment: datetime) -> str:
    """Return *moment*, a time in UTC, in the format of a row, with microseconds."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond:06d}"


def encode_row(row: EventRow) -> bytes:
    """Return *row* as one line of JSON for the journal and the store.

    Its properties must hold no raw line break.
    """
    return _encoder.encode(row)
