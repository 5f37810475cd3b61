"""Rate limits: at most so many exceptions of a project, or of an issue, in each bucket of minutes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.db import upsert
from hogline_instance.errors.config import RATE_LIMITS, configs
from hogline_instance.errors.prepared import Prepared
from hogline_instance.errors.rules import RuleSet
from hogline_instance.errors.tables import RateBucketRow

__all__ = ["apply_rate_limits"]

Key = tuple[int, str, int]


def apply_rate_limits(
    session: Session, exceptions: Sequence[Prepared], rules: Mapping[int, RuleSet], issue_of: Callable[[Prepared], str]
) -> list[Prepared]:
    """Return the exceptions that exceed a limit, and count the others against the limits.

    A bypass rule lets an exception through uncounted.
    """
    limits = configs(session, RATE_LIMITS, {each.event.team_id for each in exceptions})
    if not limits:
        return []
    keys: list[tuple[Prepared, list[tuple[Key, int]]]] = []
    for each in exceptions:
        config = limits.get(each.event.team_id)
        if config and each.matching(rules[each.event.team_id], "bypass") is None:
            keys.append((each, _buckets(each, config, issue_of(each))))
    counts = _counts(session, {key for _, buckets in keys for key, _ in buckets})
    refused, changed = [], set()
    for each, buckets in keys:
        if any(counts.get(key, 0) >= most for key, most in buckets):
            refused.append(each)
            continue
        for key, _ in buckets:
            counts[key] = counts.get(key, 0) + 1
            changed.add(key)
    if changed:
        _save(session, {key: counts[key] for key in changed})
    return refused


def _buckets(each: Prepared, config: Mapping[str, Any], issue_id: str) -> list[tuple[Key, int]]:
    received = datetime.fromisoformat(each.event.received_at).replace(tzinfo=UTC)
    minute = int(received.timestamp()) // 60
    found = []
    for scope, issue in (("project", ""), ("per_issue", issue_id)):
        most = config.get(f"{scope}_rate_limit_value")
        if most:
            size = config.get(f"{scope}_rate_limit_bucket_size_minutes") or 60
            found.append(((each.event.team_id, issue, minute - minute % size), most))
    return found


def _counts(session: Session, keys: set[Key]) -> dict[Key, int]:
    if not keys:
        return {}
    query = select(RateBucketRow).where(
        RateBucketRow.team_id.in_({key[0] for key in keys}), RateBucketRow.bucket.in_({key[2] for key in keys})
    )
    return {(row.team_id, row.issue_id, row.bucket): row.count for row in session.scalars(query)}


def _save(session: Session, counts: Mapping[Key, int]) -> None:
    statement = upsert(session, RateBucketRow)
    statement = statement.on_conflict_do_update(
        index_elements=["team_id", "issue_id", "bucket"], set_={"count": statement.excluded.count}
    )
    rows = [
        {"team_id": team, "issue_id": issue, "bucket": bucket, "count": count}
        for (team, issue, bucket), count in sorted(counts.items())
    ]
    session.execute(statement, rows)
