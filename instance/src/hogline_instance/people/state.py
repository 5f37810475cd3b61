"""The people that a batch concerns, in memory: the person of an id, and the six cases of a merge.

Pure: `loading` fills a `People` from SQL, `saving` writes its changes. Events are processed one
after another, so the result does not depend on how they were cut into batches.
Source: docs/internals/instance-protocol.md#merging-persons.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from hogline_instance.events.person_ids import person_uuid
from hogline_instance.people.json_text import encode_properties

__all__ = ["DistinctId", "Key", "Merge", "People", "Person"]

Key = tuple[int, str]
"""A project's id and a distinct id, or a person's uuid."""


@dataclass(slots=True)
class Person:
    """A person, with the changes that are not saved yet."""

    team_id: int
    uuid: str
    properties: dict[str, Any]
    created_at: datetime
    is_identified: bool = False
    version: int = 0
    last_seen_at: datetime | None = None
    is_new: bool = False
    is_changed: bool = False
    encoded: bytes | None = None
    _row_properties: msgspec.Raw | None = None

    @property
    def row_properties(self) -> msgspec.Raw:
        """Return the properties as events show them, encoded once for all events of the batch."""
        if self._row_properties is None:
            if self.encoded is None:
                self.encoded = encode_properties(self.properties)
            self._row_properties = msgspec.Raw(self.encoded)
        return self._row_properties

    def replace_properties(self, properties: dict[str, Any], encoded: bytes | None = None) -> None:
        """Store *properties*, which are *encoded* already or not, and count the version up."""
        self.properties = properties
        self.encoded = encoded
        self._row_properties = None
        self.version += 1
        self.is_changed = True

    def identify(self) -> None:
        """Mark the person as identified, which is never taken back."""
        if not self.is_identified:
            self.is_identified = True
            self.version += 1
            self.is_changed = True

    def saw(self, hour: datetime) -> None:
        """Note an event of *hour*."""
        if self.last_seen_at is None or hour > self.last_seen_at:
            self.last_seen_at = hour
            self.is_changed = True


@dataclass(slots=True)
class DistinctId:
    """An id's person, and how often it moved; None after the person was deleted."""

    person: Person | None
    version: int = 0
    is_new: bool = False
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """A person was absorbed into another, with all its distinct ids."""

    team_id: int
    absorbed_uuid: str
    survivor_uuid: str
    distinct_ids: tuple[str, ...]


@dataclass(slots=True)
class People:
    """The people that a batch can concern. A key that is absent from `ids` is unknown.

    With *is_history*, events of every id may be stored already, under the id's own uuid.
    """

    ids: dict[Key, DistinctId] = field(default_factory=dict)
    persons: dict[Key, Person] = field(default_factory=dict)
    personless: set[Key] = field(default_factory=set)
    new_personless: dict[Key, datetime] = field(default_factory=dict)
    removed: dict[Key, Person] = field(default_factory=dict)
    merges: list[Merge] = field(default_factory=list)
    ids_of: dict[Key, set[str]] = field(default_factory=dict)
    """The distinct ids of each person whom a merge can absorb."""
    is_history: bool = False

    @property
    def has_moves(self) -> bool:
        """Return whether an id moved to another person, which the store must learn."""
        return any(known.version > 0 and (known.is_new or known.is_changed) for known in self.ids.values())

    def person_of(self, team_id: int, distinct_id: str) -> Person | None:
        """Return the person of an id, or None."""
        known = self.ids.get((team_id, distinct_id))
        return known.person if known is not None else None

    def create(self, team_id: int, distinct_ids: tuple[str, ...], created_at: datetime, creator: str) -> Person:
        """Return a new person who has *distinct_ids*; the uuid is that of the first."""
        person = Person(
            team_id,
            self._free_uuid(team_id, distinct_ids[0]),
            {"$creator_event_uuid": creator},
            created_at,
            is_new=True,
        )
        self.persons[team_id, person.uuid] = person
        self.ids_of[team_id, person.uuid] = set()
        for distinct_id in distinct_ids:
            self._attach(distinct_id, person)
        return person

    def join(
        self, team_id: int, other: str, into: str, created_at: datetime, creator: str, *, dangerously: bool
    ) -> bool:
        """Make *other* and *into* one person; return whether that is allowed."""
        theirs, survivor = self.person_of(team_id, other), self.person_of(team_id, into)
        if theirs is None and survivor is None:
            # The id that was used personlessly gives the uuid, so that its events need no move.
            is_swapped = self._was_used(team_id, other) and not self._was_used(team_id, into)
            self.create(
                team_id, (other, into) if is_swapped else (into, other), created_at, creator
            ).is_identified = True
        elif theirs is None:
            assert survivor is not None
            self._attach(other, survivor)
            survivor.identify()
        elif survivor is None:
            self._attach(into, theirs)
            theirs.identify()
        elif theirs is survivor:
            survivor.identify()
        elif theirs.is_identified and not dangerously:
            return False
        else:
            self._absorb(theirs, survivor)
        return True

    def is_deleted(self, team_id: int, distinct_id: str) -> bool:
        """Return whether the id's person was deleted."""
        known = self.ids.get((team_id, distinct_id))
        return known is not None and known.person is None

    def move_stored_events(self, team_id: int, distinct_id: str) -> None:
        """Make sure that events stored under the id's own uuid are found under its person."""
        known = self.ids.get((team_id, distinct_id))
        if known is None or known.person is None or known.version > 0:
            return
        if known.person.uuid != person_uuid(team_id, distinct_id):
            known.version, known.is_changed = 1, True

    def note_personless(self, team_id: int, distinct_id: str, day: datetime) -> None:
        """Remember that an event of *distinct_id* is stored without a person."""
        key = (team_id, distinct_id)
        self.personless.add(key)
        if day > self.new_personless.get(key, _BEGINNING):
            self.new_personless[key] = day

    def _attach(self, distinct_id: str, person: Person) -> None:
        key = (person.team_id, distinct_id)
        known = self.ids.get(key)
        is_moved = person.uuid != person_uuid(person.team_id, distinct_id)
        if known is not None:  # its person was deleted
            known.person, known.version, known.is_changed = person, known.version + 1, True
        else:
            version = int(is_moved and (self.is_history or key in self.personless))
            self.ids[key] = DistinctId(person, version, is_new=True)
        self.ids_of.setdefault((person.team_id, person.uuid), set()).add(distinct_id)

    def _absorb(self, theirs: Person, survivor: Person) -> None:
        team_id = survivor.team_id
        moved = self.ids_of.pop((team_id, theirs.uuid))
        for distinct_id in moved:
            known = self.ids[team_id, distinct_id]
            known.person, known.version, known.is_changed = survivor, known.version + 1, True
        self.ids_of.setdefault((team_id, survivor.uuid), set()).update(moved)
        version = max(theirs.version, survivor.version) + 1
        survivor.replace_properties({**theirs.properties, **survivor.properties})
        survivor.version, survivor.is_identified = version, True
        survivor.created_at = min(survivor.created_at, theirs.created_at)
        if theirs.last_seen_at is not None:
            survivor.saw(theirs.last_seen_at)
        del self.persons[team_id, theirs.uuid]
        if not theirs.is_new:
            self.removed[team_id, theirs.uuid] = theirs
        self.merges.append(Merge(team_id, theirs.uuid, survivor.uuid, tuple(sorted(moved))))

    def _was_used(self, team_id: int, distinct_id: str) -> bool:
        return (team_id, distinct_id) in self.personless

    def _free_uuid(self, team_id: int, distinct_id: str) -> str:
        # After a split, another person may still have the uuid that follows from this id.
        for attempt in _uuids(team_id, distinct_id):
            if (team_id, attempt) not in self.persons:
                break
        return attempt


def _uuids(team_id: int, distinct_id: str) -> Iterable[str]:
    yield person_uuid(team_id, distinct_id)
    yield person_uuid(team_id, f"{distinct_id}\0again")


_BEGINNING = datetime.min.replace(tzinfo=UTC)
