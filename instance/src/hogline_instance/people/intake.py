"""Process a batch's events one after another over the people they concern."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from hogline_instance.events.event import StoredEvent
from hogline_instance.people.groups import MAX_GROUP_TYPES, Groups, key_text, named_groups
from hogline_instance.people.json_text import encode_properties, properties_of
from hogline_instance.people.loading import load_people
from hogline_instance.people.merging_ids import IDENTITY_EVENTS, is_illegal, other_id
from hogline_instance.people.remembered import RememberedPeople
from hogline_instance.people.saving import save_people
from hogline_instance.people.state import Key, People, Person
from hogline_instance.people.updates import Updates, changes_nothing, updated, updates_of
from hogline_instance.people.warnings import (
    ALREADY_IDENTIFIED,
    GROUP_TYPES,
    ILLEGAL_ID,
    PERSONLESS_IDENTITY,
    TOO_LARGE,
    IngestionWarning,
)

__all__ = ["MAX_PROPERTIES_BYTES", "REJECTABLE", "Intake"]

MAX_PROPERTIES_BYTES = 512 * 1024
REJECTABLE = frozenset({*IDENTITY_EVENTS, "$groupidentify"})
_HOUR_CHARACTERS = len("2026-11-24 12")
_A_MINUTE = timedelta(minutes=1)
_STRIPPED = ("$set", "$set_once", "$unset", "$group_0", "$group_1", "$group_2", "$group_3", "$group_4")
_STRIPPED_BYTES = tuple(f'"{name}"'.encode() for name in _STRIPPED)
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Intake:
    """The people and groups of *events*. `run` it, then `save` it.

    With *is_history* the events are stored already, so their rows stay as they are. *remembered* are
    people as they are in SQL now.
    """

    def __init__(
        self,
        session: Session,
        events: Sequence[StoredEvent],
        *,
        is_history: bool = False,
        remembered: RememberedPeople | None = None,
    ) -> None:
        self._session = session
        self._events = events
        self.warnings: list[IngestionWarning] = []
        self.has_rejected = False
        """Whether there is a personless event of REJECTABLE, which must be dropped."""
        self.people = self._load_people(remembered)
        self.people.is_history = is_history
        self._groups = Groups.load(session, {event.team_id for event in events}, self._identified_groups())

    def run(self) -> None:
        """Process the events in order; changes only memory."""
        ids = self.people.ids
        is_history = self.people.is_history
        for event in self._events:
            known = ids.get((event.team_id, event.distinct_id))
            is_ordinary = event.person_mode == "full" and event.event not in REJECTABLE and not is_history
            if is_ordinary and known is not None and known.person is not None:
                self._process_person(event, properties_of(event), known.person)
            else:
                self._process(event, properties_of(event))

    def save(self) -> None:
        """Write the changed people and groups; the caller commits."""
        save_people(self._session, self.people)
        self._groups.save(self._session)

    def _load_people(self, remembered: RememberedPeople | None) -> People:
        ids: set[Key] = {(event.team_id, event.distinct_id) for event in self._events}
        merging: set[Key] = set()
        personless: set[Key] = set()
        for event in self._events:
            own = (event.team_id, event.distinct_id)
            if event.event in IDENTITY_EVENTS and (other := other_id(event.event, properties_of(event))):
                merging |= {own, (event.team_id, other)}
            elif event.person_mode == "propertyless":
                personless.add(own)
        legal = {key for key in merging if not is_illegal(key[1])}
        return load_people(
            self._session, ids | legal, merging=legal, personless=personless | legal, remembered=remembered
        )

    def _identified_groups(self) -> Iterable[tuple[int, str, str]]:
        for event in self._events:
            if event.event == "$groupidentify":
                yield event.team_id, *_group_of(properties_of(event))

    def _process(self, event: StoredEvent, properties: dict[str, Any]) -> None:
        if event.person_mode == "propertyless" and event.event in REJECTABLE:
            self.has_rejected = True
            self._warn(event, PERSONLESS_IDENTITY, {"event": event.event, "distinctId": event.distinct_id})
            return
        if event.event == "$groupidentify":
            self._identify_group(event, properties)
        person = self.people.person_of(event.team_id, event.distinct_id)
        if self.people.is_history:
            if self.people.is_deleted(event.team_id, event.distinct_id):
                return  # only a new event makes a new person
            self.people.move_stored_events(event.team_id, event.distinct_id)
        if self._is_personless(event, properties, person):
            self._process_personless(event, person)
            return
        if event.event in IDENTITY_EVENTS and (other := other_id(event.event, properties)):
            self._merge(event, other)
        person = self.people.person_of(event.team_id, event.distinct_id)
        if person is None:
            person = self.people.create(event.team_id, (event.distinct_id,), event.timestamp, event.uuid)
        self._process_person(event, properties, person)

    def _is_personless(self, event: StoredEvent, properties: dict[str, object], person: Person | None) -> bool:
        if event.person_mode == "propertyless":
            return True
        if person is not None:
            return False
        if event.event == "$groupidentify":
            return True
        is_flag_call = event.event == "$feature_flag_called"
        return is_flag_call and properties.get("$process_person_profile") is not True and not named_groups(properties)

    def _process_personless(self, event: StoredEvent, person: Person | None) -> None:
        event.person_mode = "propertyless"
        if person is None:
            day = event.timestamp.replace(hour=0, minute=0, second=0, microsecond=0)
            self.people.note_personless(event.team_id, event.distinct_id, day)
        else:
            event.person_id = person.uuid
            if event.timestamp > person.created_at + _A_MINUTE:
                event.person_mode = "force_upgrade"
        _strip(event)

    def _process_person(self, event: StoredEvent, properties: dict[str, Any], person: Person) -> None:
        """Give *event* its person and its groups, and *person* what the event says about them."""
        event.person_id = person.uuid
        if changes_nothing(event.event, properties, person.properties):
            event.raw_person_properties = person.row_properties
        else:
            event.raw_person_properties = self._update(event, person, updates_of(event.event, properties))
        person.saw(_hour(event.timestamp_text[:_HOUR_CHARACTERS]))
        if "$groups" in properties:
            for group_type, key in named_groups(properties):
                index = self._group_index(event, group_type)
                if index is not None:
                    setattr(event, f"group_{index}", key)

    def _merge(self, event: StoredEvent, other: str) -> None:
        into = event.distinct_id
        if other == into:
            return
        illegal = next((each for each in (other, into) if is_illegal(each)), None)
        if illegal is not None:
            legal = into if illegal == other else other
            self._warn(event, ILLEGAL_ID, {"illegalDistinctId": illegal, "otherDistinctId": legal})
            return
        dangerously = event.event == "$merge_dangerously"
        if not self.people.join(event.team_id, other, into, event.timestamp, event.uuid, dangerously=dangerously):
            self._warn(event, ALREADY_IDENTIFIED, {"sourcePersonDistinctId": other, "targetPersonDistinctId": into})

    def _update(self, event: StoredEvent, person: Person, updates: Updates) -> msgspec.Raw:
        """Apply *updates* to *person*, and return the properties that the event's row shows."""
        hour = _hour(event.timestamp_text[:_HOUR_CHARACTERS])
        if self.people.is_history and person.last_seen_at is not None and hour < person.last_seen_at:
            # Newer events were processed before this one, and their values must stay.
            updates = Updates(set_once={**updates.set, **updates.set_once})
        outcome = updated(person.properties, updates)
        if not outcome.is_stored:
            is_shown = outcome.properties != person.properties
            return msgspec.Raw(encode_properties(outcome.properties)) if is_shown else person.row_properties
        encoded = encode_properties(outcome.properties)
        if len(encoded) > MAX_PROPERTIES_BYTES:
            details = {"personId": person.uuid, "distinctId": event.distinct_id, "bytes": len(encoded)}
            self._warn(event, TOO_LARGE, details)
        else:
            person.replace_properties(outcome.properties, encoded)
        return person.row_properties

    def _identify_group(self, event: StoredEvent, properties: dict[str, object]) -> None:
        group_type, key = _group_of(properties)
        if not group_type or not key:
            return
        index = self._group_index(event, group_type)
        if index is not None:
            given = properties.get("$group_set")
            self._groups.identify(event.team_id, index, key, given if isinstance(given, dict) else {}, event.timestamp)

    def _group_index(self, event: StoredEvent, group_type: str) -> int | None:
        index = self._groups.index_of(event.team_id, group_type)
        if index is None:
            self._warn(event, GROUP_TYPES, {"groupType": group_type, "limit": MAX_GROUP_TYPES})
        return index

    def _warn(self, event: StoredEvent, kind: str, details: dict[str, object]) -> None:
        self.warnings.append(IngestionWarning(event.team_id, kind, event.uuid, {**details, "eventUuid": event.uuid}))


def _group_of(properties: dict[str, object]) -> tuple[str, str]:
    group_type = properties.get("$group_type")
    return (group_type[:400] if isinstance(group_type, str) else ""), key_text(properties.get("$group_key"))


@lru_cache(maxsize=1_000)
def _hour(text: str) -> datetime:
    """Return the hour that the first characters of an event's time name."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _strip(event: StoredEvent) -> None:
    """Remove from the event's properties what a personless event must not carry."""
    raw = bytes(event.raw_properties)
    if not any(name in raw for name in _STRIPPED_BYTES):
        return
    try:
        own = _raw_object.decode(raw)
    except (msgspec.DecodeError, RecursionError):  # nested too deep: no query reads it either
        return
    for name in _STRIPPED:
        own.pop(name, None)
    event.replace_properties(msgspec.json.encode(own))
