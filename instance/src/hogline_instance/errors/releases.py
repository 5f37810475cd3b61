"""Releases of an app: found by version or id, with a link to their commit."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.errors.tables import ReleaseRow
from hogline_instance.events.event import StoredEvent

__all__ = ["commit_link", "commit_url", "named_releases", "release_facts"]

_MAX_RELEASES = 1_000
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_SSH = re.compile(r"(?:ssh://)?git@([A-Za-z0-9.-]+)[:/](.+)")
_HTTP = re.compile(r"https://(?:[^@/]*@)?([A-Za-z0-9.-]+)/(.+)")


def named_releases(session: Session, events: Iterable[StoredEvent]) -> Callable[[StoredEvent], dict[str, Any] | None]:
    """Return a function for the facts of the release that one of *events* names by `$release_id`.

    It returns None for an event without one, and for a release that is not known.

    Source: docs/internals/capture-protocol.md#default-properties.
    """
    wanted = {(event.team_id, release) for event in events if (release := _named_release(event))}
    facts: dict[tuple[int, str], dict[str, Any]] = {}
    if wanted:
        teams, ids = {team for team, _ in wanted}, sorted({release for _, release in wanted})[:_MAX_RELEASES]
        rows = session.scalars(select(ReleaseRow).where(ReleaseRow.team_id.in_(teams), ReleaseRow.id.in_(ids)))
        facts = {(row.team_id, row.id): release_facts(row) for row in rows if (row.team_id, row.id) in wanted}
    return lambda event: facts.get((event.team_id, _named_release(event)))


def _named_release(event: StoredEvent) -> str:
    """Return the id of the release that *event* names, or ''."""
    return event.text("$release_id").strip().lower()[:36]


def release_facts(release: ReleaseRow) -> dict[str, Any]:
    """Return what `$exception_releases` says of a release."""
    return {
        "id": release.id, "hash_id": release.hash_id, "version": release.version, "project": release.project,
        "timestamp": release.created_at.isoformat(), "metadata": release.details,
    }  # fmt: skip


def commit_link(session: Session, project_id: int, version: str) -> str:
    """Return the URL of a release's commit, or '' when the release names no repository."""
    row = session.scalar(
        select(ReleaseRow)
        .where(ReleaseRow.team_id == project_id, ReleaseRow.version == version)
        .order_by(ReleaseRow.created_at.desc())
        .limit(1)
    )
    git = (row.details or {}).get("git") if row is not None else None
    return commit_url(git) if isinstance(git, Mapping) else ""


def commit_url(git: Mapping[str, Any]) -> str:
    """Return the web page of a commit from its remote URL (ssh or https), or ''."""
    remote, commit = str(git.get("remote_url") or ""), str(git.get("commit_id") or "")
    found = _SSH.fullmatch(remote) or _HTTP.fullmatch(remote)
    if found is None or not _COMMIT.fullmatch(commit):
        return ""
    path = found[2].strip("/").removesuffix(".git")
    return f"https://{found[1]}/{path}/commit/{commit}" if re.fullmatch(r"[A-Za-z0-9._/-]+", path) else ""
