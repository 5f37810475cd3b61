"""Resolve the minified frames of events by the symbol sets of their projects."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from hogline_instance.db import utc_now
from hogline_instance.errors.frames import Resolution, Resolve
from hogline_instance.errors.releases import release_facts
from hogline_instance.errors.source_maps.worker_process import MapWorker
from hogline_instance.errors.tables import ReleaseRow, SymbolPartRow, SymbolSetRow
from hogline_instance.events.event import StoredEvent

__all__ = ["SymbolResolver"]

_MAX_REFS = 5_000
_MAX_CACHED = 20_000
_MAX_FAILED = 1_000
_USED_EVERY = timedelta(hours=1)
_MINIFIED_PLATFORMS = frozenset({"web:javascript", "node:javascript"})
_JAVASCRIPT = b"javascript"
_NOTHING: Mapping[str, "_Set"] = {}
Position = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Set:
    id: str
    ref: str
    content_hash: str
    failure: str | None
    release: Mapping[str, Any] | None


class SymbolResolver:
    """Looks up original positions, and caches them by the content of their symbol set."""

    def __init__(self) -> None:
        self._worker = MapWorker()
        self._failed: OrderedDict[str, str] = OrderedDict()
        """Sets that cannot be read, so that a slow one costs its time once."""
        self._cache: OrderedDict[tuple[str, Position], Resolution] = OrderedDict()
        self._used: set[str] = set()

    def for_events(self, session: Session, events: Sequence[StoredEvent]) -> Callable[[StoredEvent], Resolve]:
        """Return, for each event of a batch, the look-up of its frames.

        All sets of the batch are found by one statement; a set's bytes are read when it is first used.
        """
        wanted = {(event.team_id, ref) for event in events for frame in minified_frames(event) for ref in _refs(frame)}
        by_team = _sets(session, wanted) if wanted else {}

        def of(event: StoredEvent) -> Resolve:
            sets = by_team.get(event.team_id, _NOTHING)
            return lambda raw: self._resolve(session, sets, raw)

        return of

    def note_used(self, session: Session) -> None:
        """Write into the sets that were used since the last call when that was, to the hour."""
        used, self._used = sorted(self._used), set()
        if not used:
            return
        now = utc_now()
        is_old = or_(SymbolSetRow.last_used.is_(None), SymbolSetRow.last_used < now - _USED_EVERY)
        statement = update(SymbolSetRow).where(SymbolSetRow.id.in_(used[:_MAX_REFS]), is_old).values(last_used=now)
        session.execute(statement, execution_options={"synchronize_session": False})

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    def _resolve(self, session: Session, sets: Mapping[str, _Set], raw: Mapping[str, Any]) -> Resolution | None:
        found = next((sets[ref] for ref in _refs(raw) if ref in sets), None)
        line, column = raw.get("lineno"), raw.get("colno")
        if found is None or not isinstance(line, int) or not isinstance(column, int):
            return None
        if len(self._used) < _MAX_REFS:
            self._used.add(found.id)
        failure = found.failure or self._failed.get(found.content_hash)
        if failure is not None:
            return Resolution(failure=failure)
        key = (found.content_hash, (line, column))
        known = self._cache.get(key)
        if known is None:
            known = self._ask(session, found, (line, column))
            self._cache[key] = known
            if len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        return known

    def _ask(self, session: Session, symbols: _Set, position: Position) -> Resolution:
        answer = self._worker.find(symbols.content_hash, [position], lambda: _bytes(session, symbols.id))
        if isinstance(answer, str):
            self._failed[symbols.content_hash] = answer
            if len(self._failed) > _MAX_FAILED:
                self._failed.popitem(last=False)
            return Resolution(failure=answer)
        values = answer[0]
        if "failure" in values:
            return Resolution(failure=str(values["failure"]))
        return Resolution(
            source=values["source"], name=values["name"], line=values["line"], column=values["column"],
            before=tuple(values.get("before", ())), current=values.get("current"), after=tuple(values.get("after", ())),
            release=symbols.release,
        )  # fmt: skip


def minified_frames(event: StoredEvent) -> Iterable[Mapping[str, Any]]:
    """Yield the JavaScript frames of an event that a source map may resolve."""
    if _JAVASCRIPT not in bytes(event.raw_properties):  # most events of servers end here
        return
    entries = event.properties.get("$exception_list")
    for entry in entries[:50] if isinstance(entries, list) else ():
        stack = entry.get("stacktrace") if isinstance(entry, dict) else None
        frames = stack.get("frames") if isinstance(stack, dict) else None
        for frame in frames[-250:] if isinstance(frames, list) else ():
            if isinstance(frame, dict) and frame.get("platform") in _MINIFIED_PLATFORMS:
                yield frame


def _refs(frame: Mapping[str, Any]) -> list[str]:
    """Return what a symbol set of *frame* is found by: its chunk id, else the script's URL."""
    chunk, filename = frame.get("chunk_id"), frame.get("filename")
    refs = [chunk] if isinstance(chunk, str) and chunk else []
    if isinstance(filename, str) and filename.startswith(("http://", "https://")):
        refs.append(filename.partition("#")[0])
    return [ref[:1_000] for ref in refs]


def _sets(session: Session, wanted: set[tuple[int, str]]) -> dict[int, dict[str, _Set]]:
    teams, refs = {team for team, _ in wanted}, sorted({ref for _, ref in wanted})[:_MAX_REFS]
    query = (
        select(SymbolSetRow, ReleaseRow)
        .outerjoin(ReleaseRow, ReleaseRow.id == SymbolSetRow.release_id)
        .where(SymbolSetRow.team_id.in_(teams), SymbolSetRow.ref.in_(refs), SymbolSetRow.content_hash.is_not(None))
    )
    found: dict[int, dict[str, _Set]] = {}
    for row, release in session.execute(query):
        if (row.team_id, row.ref) in wanted:
            facts = release_facts(release) if release is not None else None
            found.setdefault(row.team_id, {})[row.ref] = _Set(
                row.id, row.ref, f"{row.id}/{row.content_hash}", row.failure_reason, facts
            )
    return found


def _bytes(session: Session, set_id: str) -> bytes:
    query = select(SymbolPartRow.data).where(SymbolPartRow.set_id == set_id).order_by(SymbolPartRow.number)
    return b"".join(session.scalars(query))
