"""The SQL tables of flags: definitions, their history, hash keys, early access, schedules."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hogline_instance.db import Base, utc_now

__all__ = ["EarlyAccessRow", "FlagHistoryRow", "FlagRow", "HashKeyRow", "ScheduledChangeRow"]


def _project(**options: Any) -> Mapped[int]:
    return mapped_column("team_id", ForeignKey("projects.id", ondelete="CASCADE"), **options)


def _time(**options: Any) -> Mapped[Any]:
    return mapped_column(DateTime(timezone=True), **options)


class FlagRow(Base):
    """The definition of a flag. Its calls are in the store."""

    __tablename__ = "feature_flags"
    __table_args__ = (UniqueConstraint("team_id", "live_key"), Index("ix_feature_flags_key", "team_id", "key"))

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = _project()
    key: Mapped[str] = mapped_column(String(400))
    live_key: Mapped[str | None] = mapped_column(String(400))
    """The key again, or null once the flag is deleted: only live flags need different keys."""
    name: Mapped[str] = mapped_column(Text, default="")
    filters: Mapped[dict[str, Any]] = mapped_column(JSON)
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    archived: Mapped[bool] = mapped_column(Boolean, default=False)
    deleted: Mapped[bool] = mapped_column(Boolean, default=False)
    version: Mapped[int] = mapped_column(Integer, default=1)
    ensure_experience_continuity: Mapped[bool] = mapped_column(Boolean, default=False)
    bucketing_identifier: Mapped[str | None] = mapped_column(String(20))
    evaluation_runtime: Mapped[str] = mapped_column(String(10), default="all")
    evaluation_contexts: Mapped[list[str]] = mapped_column(JSON, default=list)
    tags: Mapped[list[str]] = mapped_column(JSON, default=list)
    is_remote_configuration: Mapped[bool] = mapped_column(Boolean, default=False)
    has_encrypted_payloads: Mapped[bool] = mapped_column(Boolean, default=False)
    created_by: Mapped[str] = mapped_column(String(200), default="")
    last_modified_by: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = _time(default=utc_now)
    updated_at: Mapped[datetime] = _time(default=utc_now)


class FlagHistoryRow(Base):
    """One change of a flag: who made it, which fields it changed, and the flag afterwards."""

    __tablename__ = "feature_flag_history"
    __table_args__ = (Index("ix_feature_flag_history_flag", "flag_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = _project(index=True)
    flag_id: Mapped[int] = mapped_column(ForeignKey("feature_flags.id", ondelete="CASCADE"))
    activity: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(200))
    version: Mapped[int] = mapped_column(Integer)
    changes: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    fields: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The fields after the change, so that the flag can return to them."""
    created_at: Mapped[datetime] = _time(default=utc_now)


class HashKeyRow(Base):
    """The identifier that a person keeps for the hash of one flag across their login."""

    __tablename__ = "feature_flag_hash_keys"

    team_id: Mapped[int] = _project(primary_key=True)
    person_uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    flag_key: Mapped[str] = mapped_column(String(400), primary_key=True)
    hash_key: Mapped[str] = mapped_column(String(400))


class EarlyAccessRow(Base):
    """A feature that people may try before its release; its flag decides who sees it."""

    __tablename__ = "early_access_features"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    team_id: Mapped[int] = _project(index=True)
    flag_id: Mapped[int | None] = mapped_column(ForeignKey("feature_flags.id", ondelete="SET NULL"))
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, default="")
    stage: Mapped[str] = mapped_column(String(40))
    documentation_url: Mapped[str] = mapped_column(String(800), default="")
    payload: Mapped[Any] = mapped_column(JSON, nullable=True)
    created_at: Mapped[datetime] = _time(default=utc_now)


class ScheduledChangeRow(Base):
    """A change of a flag that a job makes at its time, once or again and again."""

    __tablename__ = "scheduled_changes"
    __table_args__ = (Index("ix_scheduled_changes_due", "executed_at", "scheduled_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = _project(index=True)
    record_id: Mapped[str] = mapped_column(String(200))
    model_name: Mapped[str] = mapped_column(String(100))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    scheduled_at: Mapped[datetime] = _time()
    executed_at: Mapped[datetime | None] = _time()
    last_executed_at: Mapped[datetime | None] = _time()
    failure_reason: Mapped[str | None] = mapped_column(Text)
    is_recurring: Mapped[bool] = mapped_column(Boolean, default=False)
    recurrence_interval: Mapped[str | None] = mapped_column(String(20))
    cron_expression: Mapped[str | None] = mapped_column(String(100))
    end_date: Mapped[datetime | None] = _time()
    timezone: Mapped[str | None] = mapped_column(String(64))
    created_by: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = _time(default=utc_now)
