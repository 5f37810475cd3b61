"""Process a batch's events one after another over the people they concern."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from hogline_instance.events.event import StoredEvent
from hogline_instance.people.groups import MAX_GROUP_TYPES, Groups, key_text, named_groups
from hogline_instance.people.json_text import encode_properties, properties_of
from hogline_instance.people.loading import load_people
from hogline_instance.people.merging_ids import IDENTITY_EVENTS, is_illegal, other_id
from hogline_instance.people.saving import save_people
from hogline_instance.people.state import Key, People, Person
from hogline_instance.people.updates import Updates, updated, updates_of
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
_A_MINUTE = timedelta(minutes=1)
_STRIPPED = ("$set", "$set_once", "$unset", "$group_0", "$group_1", "$group_2", "$group_3", "$group_4")
_STRIPPED_BYTES = tuple(f'"{name}"'.encode() for name in _STRIPPED)
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class _Incoming:
    """An event, its decoded properties, and the id that it joins with its own ('' for none)."""

    event: StoredEvent
    properties: dict[str, Any]
    other: str

    @classmethod
    def of(cls, event: StoredEvent) -> "_Incoming":
        properties = properties_of(event)
        return cls(event, properties, other_id(event.event, properties) if event.event in IDENTITY_EVENTS else "")


class Intake:
    """The people and groups of *events*. `run` it, then `save` it.

    With *is_history* the events are stored already, so their rows stay as they are.
    """

    def __init__(self, session: Session, events: Sequence[StoredEvent], *, is_history: bool = False) -> None:
        self._session = session
        self._events = [_Incoming.of(event) for event in events]
        self.warnings: list[IngestionWarning] = []
        self.has_rejected = False
        """Whether there is a personless event of REJECTABLE, which must be dropped."""
        self.people = self._load_people()
        self.people.is_history = is_history
        self._groups = Groups.load(session, {event.team_id for event in events}, self._identified_groups())

    def run(self) -> None:
        """Process the events in order; changes only memory."""
        for incoming in self._events:
            self._process(incoming)

    def save(self) -> None:
        """Write the changed people and groups; the caller commits."""
        save_people(self._session, self.people)
        self._groups.save(self._session)

    def _load_people(self) -> People:
        ids: set[Key] = {(each.event.team_id, each.event.distinct_id) for each in self._events}
        merging: set[Key] = set()
        personless: set[Key] = set()
        for each in self._events:
            event = each.event
            own = (event.team_id, event.distinct_id)
            if each.other:
                merging |= {own, (event.team_id, each.other)}
            elif event.person_mode == "propertyless":
                personless.add(own)
        legal = {key for key in merging if not is_illegal(key[1])}
        return load_people(self._session, ids | legal, merging=legal, personless=personless | legal)

    def _identified_groups(self) -> Iterable[tuple[int, str, str]]:
        for each in self._events:
            if each.event.event == "$groupidentify":
                yield each.event.team_id, *_group_of(each.properties)

    def _process(self, incoming: _Incoming) -> None:
        event, properties = incoming.event, incoming.properties
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
        self._process_person(incoming)
        for group_type, key in named_groups(properties):
            index = self._group_index(event, group_type)
            if index is not None:
                setattr(event, f"group_{index}", key)

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

    def _process_person(self, incoming: _Incoming) -> None:
        event = incoming.event
        if incoming.other:
            self._merge(event, incoming.other)
        person = self.people.person_of(event.team_id, event.distinct_id)
        if person is None:
            person = self.people.create(event.team_id, (event.distinct_id,), event.timestamp, event.uuid)
        event.person_id = person.uuid
        event.raw_person_properties = msgspec.Raw(
            self._update(event, person, updates_of(event.event, incoming.properties))
        )
        person.saw(_hour(event.timestamp))

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

    def _update(self, event: StoredEvent, person: Person, updates: Updates) -> bytes:
        """Apply *updates* to *person*, and return the properties that the event's row shows."""
        if self.people.is_history and person.last_seen_at is not None and _hour(event.timestamp) < person.last_seen_at:
            # Newer events were processed before this one, and their values must stay.
            updates = Updates(set_once={**updates.set, **updates.set_once})
        outcome = updated(person.properties, updates)
        if not outcome.is_stored:
            is_shown = outcome.properties != person.properties
            return encode_properties(outcome.properties) if is_shown else person.encoded
        encoded = encode_properties(outcome.properties)
        if len(encoded) > MAX_PROPERTIES_BYTES:
            details = {"personId": person.uuid, "distinctId": event.distinct_id, "bytes": len(encoded)}
            self._warn(event, TOO_LARGE, details)
            return person.encoded
        person.replace_properties(outcome.properties, encoded)
        return encoded

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


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


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
    event.raw_properties = msgspec.Raw(msgspec.json.encode(own))
    for cached in ("properties", "properties_json"):
        event.__dict__.pop(cached, None)
