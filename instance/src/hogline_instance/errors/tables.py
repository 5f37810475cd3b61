"""The SQL tables of issues, their fingerprints, history, rules, releases and symbol sets."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hogline_instance.db import Base, utc_now

__all__ = [
    "ConfigRow",
    "EarlierExceptionsRow",
    "FingerprintRow",
    "HistoryRow",
    "IssueRow",
    "RateBucketRow",
    "ReleaseRow",
    "RuleRow",
    "SymbolPartRow",
    "SymbolSetRow",
]


def _project() -> Mapped[int]:
    return mapped_column("team_id", ForeignKey("projects.id", ondelete="CASCADE"), index=True)


def _time(*, default: Any = utc_now) -> Mapped[Any]:
    return mapped_column(DateTime(timezone=True), default=default)


class IssueRow(Base):
    """One mistake. Its counts are asked of the store."""

    __tablename__ = "error_issues"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    team_id: Mapped[int] = _project()
    status: Mapped[str] = mapped_column(String(20), default="active")
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    severity: Mapped[str | None] = mapped_column(String(20))
    assignee_type: Mapped[str | None] = mapped_column(String(10))
    assignee_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = _time()
    snoozed_until: Mapped[datetime | None] = _time(default=None)
    """No spike is reported before this time."""


class FingerprintRow(Base):
    """The issue of a fingerprint; a merge or a split changes it, and counts *version* up.

    Events of a fingerprint that never moved hold its issue themselves.
    """

    __tablename__ = "error_fingerprints"
    __table_args__ = (UniqueConstraint("team_id", "fingerprint"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = _project()
    fingerprint: Mapped[str] = mapped_column(String(200))
    issue_id: Mapped[str] = mapped_column(ForeignKey("error_issues.id", ondelete="CASCADE"), index=True)
    version: Mapped[int] = mapped_column(Integer, default=0)
    squashed_version: Mapped[int] = mapped_column(Integer, default=0)
    """The version that the events' own column follows."""
    first_seen: Mapped[datetime] = _time()
    created_at: Mapped[datetime] = _time()


class HistoryRow(Base):
    """The changes of an issue, and the comments on it."""

    __tablename__ = "error_history"
    __table_args__ = (Index("ix_error_history_issue", "issue_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = _project()
    issue_id: Mapped[str] = mapped_column(ForeignKey("error_issues.id", ondelete="CASCADE"))
    activity: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(200), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = _time()


class RuleRow(Base):
    """A rule of one *kind*: grouping, suppression, assignment, severity or bypass."""

    __tablename__ = "error_rules"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    team_id: Mapped[int] = _project()
    kind: Mapped[str] = mapped_column(String(20))
    filters: Mapped[dict[str, Any]] = mapped_column(JSON)
    order_key: Mapped[int] = mapped_column(Integer, default=0)
    values: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    disabled_data: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = _time()


class ConfigRow(Base):
    """One configuration of a project: rate limits, spike detection, or hosts of source maps."""

    __tablename__ = "error_config"

    team_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(30), primary_key=True)
    values: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class RateBucketRow(Base):
    """How many exceptions a rate limit let through in one bucket of time.

    The issue is '' for the whole project.
    """

    __tablename__ = "error_rate_buckets"

    team_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    issue_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    bucket: Mapped[int] = mapped_column(Integer, primary_key=True)
    count: Mapped[int] = mapped_column(Integer)


class ReleaseRow(Base):
    """A release of an app, with its commit."""

    __tablename__ = "error_releases"
    __table_args__ = (UniqueConstraint("team_id", "hash_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    team_id: Mapped[int] = _project()
    hash_id: Mapped[str] = mapped_column(String(128))
    version: Mapped[str] = mapped_column(String(400))
    project: Mapped[str] = mapped_column(String(400))
    details: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSON)
    created_at: Mapped[datetime] = _time()


class SymbolSetRow(Base):
    """A minified script with its source map, found by the chunk id or the URL in *ref*."""

    __tablename__ = "error_symbol_sets"
    __table_args__ = (UniqueConstraint("team_id", "ref"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    team_id: Mapped[int] = _project()
    ref: Mapped[str] = mapped_column(String(1000))
    release_id: Mapped[str | None] = mapped_column(String(36))
    content_hash: Mapped[str | None] = mapped_column(String(200))
    """Set when the upload is finished."""
    size_bytes: Mapped[int] = mapped_column(Integer, default=0)
    upload_token: Mapped[str | None] = mapped_column(String(64))
    """The secret of the upload's URL, until the upload is finished."""
    is_stored: Mapped[bool] = mapped_column(Boolean, default=False)
    failure_reason: Mapped[str | None] = mapped_column(Text)
    last_used: Mapped[datetime | None] = _time(default=None)
    created_at: Mapped[datetime] = _time()


class SymbolPartRow(Base):
    """A part of a symbol set's compressed bytes."""

    __tablename__ = "error_symbol_parts"

    set_id: Mapped[str] = mapped_column(ForeignKey("error_symbol_sets.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class EarlierExceptionsRow(Base):
    """How far the exceptions of before there were issues have been read, for each project."""

    __tablename__ = "error_earlier_exceptions"

    team_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    until: Mapped[str] = mapped_column(String(40))
    """The exceptions received before this time are read."""
    cursor: Mapped[str] = mapped_column(String(100))
    finished_at: Mapped[datetime | None] = _time(default=None)
