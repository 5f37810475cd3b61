"""Continuity: the identifier that a person keeps for the hash of a flag across their login.

A request that names the anonymous id writes it, once for each flag; later requests of any distinct
id of the person use it. A browser asks for its flags before its `$identify` event has made the
person, so the key is then written for each id of which the person's own id may be made.
Source: docs/internals/flags-protocol.md#details-of-server-evaluation.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import and_, delete, insert, select
from sqlalchemy.orm import Session

from hogline_instance.db import Database, upsert
from hogline_instance.flags.tables import HashKeyRow
from hogline_instance.people import Merge

__all__ = ["forget_hash_keys", "hash_keys_of", "keep_hash_keys", "move_hash_keys", "read_hash_keys"]


def read_hash_keys(session: Session, project_id: int, uuids: Sequence[str]) -> dict[str, str]:
    """Return the hash key of each flag; of several persons the first one's counts."""
    keys = hash_keys_of(session, project_id, uuids)
    found: dict[str, str] = {}
    for uuid in reversed(uuids):
        found.update(keys.get(uuid, {}))
    return found


def hash_keys_of(session: Session, project_id: int, uuids: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the hash keys of people: uuid -> flag -> hash key."""
    wanted = list(uuids)
    if not wanted:
        return {}
    rows = session.execute(
        select(HashKeyRow.person_uuid, HashKeyRow.flag_key, HashKeyRow.hash_key).where(
            HashKeyRow.team_id == project_id, HashKeyRow.person_uuid.in_(wanted)
        )
    )
    found: dict[str, dict[str, str]] = {}
    for uuid, flag, key in rows:
        found.setdefault(uuid, {})[flag] = key
    return found


def keep_hash_keys(database: Database, project_id: int, uuids: Sequence[str], keys: Mapping[str, str]) -> None:
    """Write the hash keys of people; those that another request wrote first stay."""
    rows = [
        {"team_id": project_id, "person_uuid": uuid, "flag_key": flag, "hash_key": key[:400]}
        for uuid in uuids
        for flag, key in keys.items()
    ]
    with database.transaction() as session:
        session.execute(upsert(session, HashKeyRow).on_conflict_do_nothing(), rows)


def forget_hash_keys(session: Session, project_id: int, uuids: Sequence[str]) -> None:
    """Delete the hash keys of people who are deleted."""
    session.execute(delete(HashKeyRow).where(HashKeyRow.team_id == project_id, HashKeyRow.person_uuid.in_(uuids)))


def move_hash_keys(session: Session, merges: Sequence[Merge]) -> None:
    """Give the hash keys of people who were merged into others to those, who keep their own.

    This runs in the transaction of a batch, with three statements however many merges it has.
    """
    concerned = {(merge.team_id, uuid) for merge in merges for uuid in (merge.absorbed_uuid, merge.survivor_uuid)}
    is_concerned = and_(
        HashKeyRow.team_id.in_({team for team, _ in concerned}),
        HashKeyRow.person_uuid.in_({uuid for _, uuid in concerned}),
    )
    rows = session.execute(
        select(HashKeyRow.team_id, HashKeyRow.person_uuid, HashKeyRow.flag_key, HashKeyRow.hash_key).where(is_concerned)
    ).all()
    held: dict[tuple[int, str], dict[str, str]] = {}
    for team, uuid, flag, key in rows:
        held.setdefault((team, uuid), {})[flag] = key
    if not held:
        return
    for merge in merges:
        moved = held.pop((merge.team_id, merge.absorbed_uuid), {})
        survivor = held.setdefault((merge.team_id, merge.survivor_uuid), {})
        held[merge.team_id, merge.survivor_uuid] = {**moved, **survivor}
    session.execute(delete(HashKeyRow).where(is_concerned))
    fresh = [
        {"team_id": team, "person_uuid": uuid, "flag_key": flag, "hash_key": key}
        for (team, uuid), keys in held.items()
        for flag, key in keys.items()
    ]
    if fresh:
        session.execute(insert(HashKeyRow), fresh)
