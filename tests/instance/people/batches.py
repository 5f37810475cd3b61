"""Batches of events for the step of people, and the people that SQL holds afterwards."""

import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import orjson
from sqlalchemy import delete as sql_delete
from sqlalchemy import select, update

from hogline_instance.events.event import StoredEvent, read_event
from hogline_instance.events.person_ids import person_uuid
from hogline_instance.events.row import EventRow, encode_row, time_text
from hogline_instance.people.splitting import split_person
from hogline_instance.people.step import PeopleStep
from hogline_instance.people.tables import DistinctIdRow, GroupRow, GroupTypeRow, PersonMergeRow, PersonRow, WarningRow
from hogline_instance.pipeline import StepRunner

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def line(name, distinct_id, *, team=1, after_s=0.0, uid=None, **properties):
    """Return an admitted event as a line of the journal; `X_name` stands for `$name`."""
    named = {f"${key[2:]}" if key.startswith("X_") else key: value for key, value in properties.items()}
    personless = named.get("$process_person_profile") is False
    return encode_row(
        EventRow(
            team_id=team,
            uuid=uid or str(uuid.uuid4()),
            event=name,
            distinct_id=distinct_id,
            timestamp_text=time_text(NOON + timedelta(seconds=after_s)),
            person_id=person_uuid(team, distinct_id),
            raw_properties=msgspec.Raw(orjson.dumps(named)),
            person_mode="propertyless" if personless else "full",
        )
    )


class Node:
    """One node's pipeline over *database*, with people as its only step."""

    def __init__(self, database, folder, on_merge=(), *, remembered_max_bytes=1_000_000):
        folder.mkdir(exist_ok=True)
        self.database, self.folder = database, folder
        self.step = PeopleStep(on_merge, remembered_max_bytes=remembered_max_bytes)
        self.runner = StepRunner([self.step], database, journal_id=folder.name, folder=folder)
        self.count = 0

    def run(self, *lines, name=None) -> list[StoredEvent]:
        """Process *lines* as one batch, and return the rows to store."""
        self.count += 1
        result = self.runner.run(name or f"batch-{self.count}", lines)
        assert not result.rejected, result.rejected
        return [read_event(each) for each in result.lines]

    def replay(self, *lines, keeps_rows=True):
        """Process the last batch again, with its prepared rows or without them."""
        if not keeps_rows:
            self.runner.prepared.remove(f"batch-{self.count}")
        return [read_event(each) for each in self.runner.run(f"batch-{self.count}", lines).lines]

    def people(self, team=1):
        """Return the people of a project: their ids, and all that SQL knows about them."""
        with self.database.session() as session:
            ids = {}
            for row in session.scalars(select(DistinctIdRow).where(DistinctIdRow.team_id == team)):
                ids.setdefault(row.person_uuid, set()).add((row.distinct_id, row.version))
            return {
                row.uuid: {
                    "ids": {each for each, _ in ids.get(row.uuid, ())},
                    "versions": ids.get(row.uuid),
                    "properties": row.properties,
                    "is_identified": row.is_identified,
                    "version": row.version,
                    "created_at": row.created_at.replace(tzinfo=None),
                    "last_seen_at": row.last_seen_at and row.last_seen_at.replace(tzinfo=None),
                }
                for row in session.scalars(select(PersonRow).where(PersonRow.team_id == team))
            }

    def person(self, distinct_id, team=1):
        """Return the one person who has *distinct_id*."""
        (found,) = [each for each in self.people(team).values() if distinct_id in each["ids"]]
        return found

    def merges(self):
        """Return the survivor of each person who was absorbed."""
        with self.database.session() as session:
            return {row.absorbed_uuid: row.survivor_uuid for row in session.scalars(select(PersonMergeRow))}

    def change_someone(self, *, delete):
        """Delete or split the first person, over a connection of its own, as the API does."""
        with self.database.transaction() as session:
            uuid = session.scalar(select(PersonRow.uuid).order_by(PersonRow.uuid).limit(1))
            if uuid is None:
                return
            if not delete:
                split_person(session, 1, uuid, None)
                return
            session.execute(update(DistinctIdRow).where(DistinctIdRow.person_uuid == uuid).values(person_uuid=None))
            session.execute(sql_delete(PersonRow).where(PersonRow.uuid == uuid))

    def warnings(self):
        """Return the types of the warnings, sorted."""
        with self.database.session() as session:
            return sorted(session.scalars(select(WarningRow.type)))

    def groups(self):
        """Return the group types and groups."""
        with self.database.session() as session:
            types = {row.group_type: row.index for row in session.scalars(select(GroupTypeRow))}
            rows = session.scalars(select(GroupRow))
            return types, {(row.type_index, row.group_key): row.properties for row in rows}
