"""Releases of an app: found by version, with a link to their commit."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.errors.tables import ReleaseRow

__all__ = ["commit_link", "commit_url"]

_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_SSH = re.compile(r"(?:ssh://)?git@([A-Za-z0-9.-]+)[:/](.+)")
_HTTP = re.compile(r"https://(?:[^@/]*@)?([A-Za-z0-9.-]+)/(.+)")


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
