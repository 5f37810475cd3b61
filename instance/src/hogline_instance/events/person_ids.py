"""A person's id: how it follows from a distinct id, and how queries find it after a merge.

Rows keep the person id of the moment at which they were stored. `analytics.person_overrides` says
which distinct ids belong to another person since. Every query that counts or selects people reads
the id through `PERSON_ID` and `PERSON_JOIN`.
Source: docs/internals/instance-protocol.md#person-ids-and-versions.
"""

import functools
import hashlib
import uuid

__all__ = ["OVERRIDES_TABLE", "PERSON_ID", "PERSON_JOIN", "name_uuid", "person_uuid"]

OVERRIDES_TABLE = "analytics.person_overrides"
_NAMESPACE = uuid.UUID("932979b4-65c3-4424-8467-0b66ec27bc22").bytes

PERSON_JOIN = (
    f"GLOBAL LEFT JOIN (SELECT distinct_id AS moved_id, argMax(person_id, version) AS moved_to FROM {OVERRIDES_TABLE}"  # noqa: S608 - constants
    " WHERE team_id = {project:UInt32} GROUP BY distinct_id HAVING argMax(is_deleted, version) = 0) AS moved"
    " ON events.distinct_id = moved.moved_id"
)
"""Joins `analytics.events AS events` with the moved ids of the project bound as `{project:UInt32}`."""
PERSON_ID = "if(moved.moved_id = '', events.person_id, moved.moved_to)"
"""The id of the person to whom a row of `events` belongs today; needs PERSON_JOIN."""


@functools.lru_cache(maxsize=100_000)
def person_uuid(project_id: int, distinct_id: str) -> str:
    """Return the id of a person who was created for *distinct_id*; it is equal to PostHog's."""
    return name_uuid(_NAMESPACE, f"{project_id}:{distinct_id}")


def name_uuid(namespace: bytes, name: str) -> str:
    """Return the text of `uuid.uuid5(namespace, name)`, in a third of its time."""
    digest = bytearray(hashlib.sha1(namespace + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
