"""The step that notes the names of a batch's events and properties, with the types of their values.

What SQL is known to hold is remembered, so that a batch with nothing new asks SQL nothing. Another
process may delete a definition meanwhile: it is then written again in the next hour.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import column, select, table
from sqlalchemy.orm import Session

from hogline_instance.definitions.detection import detect_type
from hogline_instance.definitions.saving import save_events, save_pairs, save_properties
from hogline_instance.definitions.tables import EVENT, GROUP, NO_GROUP, PERSON
from hogline_instance.events.event import StoredEvent
from hogline_instance.pipeline import Batch

__all__ = ["DefinitionStep"]

_SKIPPED = frozenset({"$set", "$set_once", "$unset", "$groups", *(f"$group_{index}" for index in range(5))})
_MAX_NAME_BYTES = 200
_MAX_PROPERTIES = 10_000
# New definitions of one batch; the rest are noted when their next events come.
_MAX_NEW = 2_000
_MAX_KNOWN = 200_000
_group_types = table("group_types", column("team_id"), column("group_type"), column("index"))


class DefinitionStep:
    """Notes definitions: at most eight SQL statements for a batch, and none when nothing is new."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, bool] = OrderedDict()
        """The names that SQL holds, and whether nothing more can be learnt about them."""

    def apply(self, batch: Batch, session: Session) -> None:
        """Note the names of *batch*."""
        if batch.is_repeated:
            return
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        indexes = _group_indexes(batch.rows, session)
        events: dict[tuple[int, str], None] = {}
        properties: dict[tuple[int, str, int, str], str | None] = {}
        pairs: dict[tuple[int, str, str], None] = {}
        # Most events of a batch have one of a few shapes, and their names are looked at once.
        finished: set[Hashable] = set()
        for row in batch.rows:
            shape = (row.team_id, row.event, row.property_names)
            if shape in finished or len(row.event) > _MAX_NAME_BYTES or len(row.property_names) > _MAX_PROPERTIES:
                continue
            if ("event", row.team_id, row.event, hour) not in self._known:
                events[row.team_id, row.event] = None
            if self._known.get(shape) or (self._collect(row, indexes, properties, pairs) and _is_whole(row)):
                finished.add(shape)
        self._save(batch, session, hour, events, properties, pairs, finished)

    def _collect(
        self,
        row: StoredEvent,
        indexes: Mapping[tuple[int, str], int],
        properties: dict[tuple[int, str, int, str], str | None],
        pairs: dict[tuple[int, str, str], None],
    ) -> bool:
        """Add what is new in *row*; return whether another event of its shape can add nothing."""
        is_finished = True
        for kind, index, name, value in _named(row, indexes):
            key = (row.team_id, kind, index, name)
            if not self._known.get(key) and properties.get(key) is None:
                found = detect_type(name, value)
                if found is not None or key not in self._known:
                    properties[key] = found
                    is_finished = is_finished and found is not None
            if kind == EVENT and not name.startswith("$feature/"):
                pair = (row.team_id, row.event, name)
                if pair not in self._known:
                    pairs[pair] = None
        return is_finished

    def _save(
        self,
        batch: Batch,
        session: Session,
        hour: datetime,
        events: Mapping[tuple[int, str], None],
        properties: Mapping[tuple[int, str, int, str], str | None],
        pairs: Mapping[tuple[int, str, str], None],
        finished: Iterable[Hashable],
    ) -> None:
        # A shape is known when all its names are.
        is_cut = len(properties) > _MAX_NEW or len(pairs) > _MAX_NEW
        learnt: dict[Hashable, bool] = {} if is_cut else {shape: True for shape in finished if shape not in self._known}
        if events:
            wanted = list(events)[:_MAX_NEW]
            save_events(session, wanted, hour)
            learnt |= {("event", *event, hour): True for event in wanted}
        if properties:
            chosen = dict(list(properties.items())[:_MAX_NEW])
            save_properties(session, chosen)
            learnt |= {key: found is not None for key, found in chosen.items()}
        if pairs:
            kept = list(pairs)[:_MAX_NEW]
            save_pairs(session, kept)
            learnt |= dict.fromkeys(kept, True)
        if learnt:
            # Only what is committed is known.
            batch.after_commit.append(lambda: self._remember(learnt))

    def _remember(self, learnt: Mapping[Hashable, bool]) -> None:
        self._known.update(learnt)
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)


def _named(row: StoredEvent, indexes: Mapping[tuple[int, str], int]) -> Iterator[tuple[str, int, str, Any]]:
    """Yield kind, group index, name and value of each property that *row* defines."""
    if row.event == "$groupidentify":
        index = indexes.get((row.team_id, row.text("$group_type")))
        values = row.properties.get("$group_set")
        if index is not None and isinstance(values, Mapping):
            yield from ((GROUP, index, name, value) for name, value in values.items() if _is_usable(name))
        return
    for name, value in row.properties.items():
        if name not in _SKIPPED and _is_usable(name):
            yield EVENT, NO_GROUP, name, value
    for source in ("$set_once", "$set"):
        values = row.properties.get(source)
        if isinstance(values, Mapping):
            yield from ((PERSON, NO_GROUP, name, value) for name, value in values.items() if _is_usable(name))


def _is_usable(name: str) -> bool:
    return 0 < len(name.encode("utf-8", "replace")) <= _MAX_NAME_BYTES and "\0" not in name and name.isprintable()


def _is_whole(row: StoredEvent) -> bool:
    """Return whether the names of its properties are all that *row* can define."""
    return row.event != "$groupidentify" and "$set" not in row.properties and "$set_once" not in row.properties


def _group_indexes(rows: list[StoredEvent], session: Session) -> dict[tuple[int, str], int]:
    teams = {row.team_id for row in rows if row.event == "$groupidentify"}
    if not teams:
        return {}
    found = session.execute(
        select(_group_types.c.team_id, _group_types.c.group_type, _group_types.c.index).where(
            _group_types.c.team_id.in_(teams)
        )
    )
    return {(team, name): index for team, name, index in found}
