"""Jobs of error tracking: spikes, moved fingerprints, rate buckets, earlier exceptions, maps."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, update

from hogline_instance.errors.earlier_exceptions import make_issues_of_earlier_exceptions
from hogline_instance.errors.occasions import OnOccasions
from hogline_instance.errors.queries import follow_moves, newest_events, recent_buckets
from hogline_instance.errors.source_maps.fetching import fetch_maps
from hogline_instance.errors.source_maps.resolver import SymbolResolver
from hogline_instance.errors.spikes import BUCKET_MINUTES, BUCKETS, find_spikes, note_spikes
from hogline_instance.errors.tables import FingerprintRow, RateBucketRow
from hogline_instance.jobs import Job
from hogline_instance.services import Services

__all__ = ["build_jobs", "squash_moves"]

_SPIKES_EVERY_S, _SQUASH_EVERY_S, _CLEAN_EVERY_S, _FETCH_EVERY_S = 60.0, 300.0, 3600.0, 20.0
_EARLIER_EVERY_S = 5.0
_KEPT_BUCKETS = timedelta(days=14)
_MAX_MOVES = 1_000


def build_jobs(services: Services, on_occasions: Sequence[OnOccasions] = ()) -> tuple[Job, ...]:
    """Return the jobs; *on_occasions* are called with spikes, in their transaction."""
    symbols = SymbolResolver()
    return (
        Job("error-spikes", _SPIKES_EVERY_S, lambda: _find_spikes(services, on_occasions)),
        Job("error-moves", _SQUASH_EVERY_S, lambda: squash_moves(services)),
        Job("error-rate-buckets", _CLEAN_EVERY_S, lambda: _drop_old_buckets(services)),
        Job("earlier-exceptions", _EARLIER_EVERY_S, lambda: _read_earlier(services, symbols)),
        Job("error-source-maps", _FETCH_EVERY_S, lambda: fetch_maps(services)),
    )


def _read_earlier(services: Services, symbols: SymbolResolver) -> None:
    make_issues_of_earlier_exceptions(services.database, services.store, services.projects.all(), symbols)


def _find_spikes(services: Services, on_occasions: Sequence[OnOccasions]) -> None:
    now = datetime.now(UTC)
    found = recent_buckets(services.store, now=now, buckets=BUCKETS, minutes=BUCKET_MINUTES)
    # One node at a time looks, so that a spike is noted once.
    with services.database.exclusive("error-spikes"):
        for project_id, by_fingerprint in found.items():
            with services.database.session() as session:
                spikes = find_spikes(session, project_id, by_fingerprint)
            if not spikes:
                continue
            since = now - timedelta(minutes=BUCKET_MINUTES)
            fingerprints = sorted({spike.fingerprint for spike in spikes.values()})
            events = newest_events(services.store, project_id, fingerprints, since=since)
            with services.database.transaction() as session:
                occasions = note_spikes(session, project_id, spikes, now, events)
                if occasions:
                    for tell in on_occasions:
                        tell(session, occasions)


def squash_moves(services: Services) -> None:
    """Let the column of stored events follow merges and splits.

    Queries of this feature never depend on it: they join the moves themselves. So an event that is
    stored meanwhile under its old issue is only wrong in the column, until the fingerprint moves again.
    """
    with services.database.exclusive("error-moves"):
        with services.database.session() as session:
            query = (
                select(
                    FingerprintRow.team_id, FingerprintRow.fingerprint, FingerprintRow.issue_id, FingerprintRow.version
                )
                .where(FingerprintRow.version != FingerprintRow.squashed_version)
                .limit(_MAX_MOVES)
            )
            moves = session.execute(query).all()
        for team in sorted({move.team_id for move in moves}):
            follow_moves(
                services.store, team, {move.fingerprint: move.issue_id for move in moves if move.team_id == team}
            )
        with services.database.transaction() as session:
            for move in moves:
                session.execute(
                    update(FingerprintRow)
                    .where(FingerprintRow.team_id == move.team_id, FingerprintRow.fingerprint == move.fingerprint)
                    .where(FingerprintRow.version == move.version)
                    .values(squashed_version=move.version)
                )


def _drop_old_buckets(services: Services) -> None:
    oldest = int((datetime.now(UTC) - _KEPT_BUCKETS).timestamp()) // 60
    with services.database.transaction() as session:
        session.execute(delete(RateBucketRow).where(RateBucketRow.bucket < oldest))
