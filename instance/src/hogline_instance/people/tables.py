"""The SQL tables of persons, their distinct ids, groups and ingestion warnings."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, DateTime, ForeignKey, Index, Integer, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from hogline_instance.db import Base

__all__ = [
    "DistinctIdRow",
    "GroupRow",
    "GroupTypeRow",
    "HistoryCursorRow",
    "PersonDeletionRow",
    "PersonMergeRow",
    "PersonRow",
    "PersonlessIdRow",
    "WarningRow",
]

_id = Integer().with_variant(BigInteger, "postgresql")


def _project(**options: Any) -> Mapped[int]:
    return mapped_column("team_id", ForeignKey("projects.id", ondelete="CASCADE"), **options)


def _time(**options: Any) -> Mapped[Any]:
    return mapped_column(DateTime(timezone=True), **options)


class PersonRow(Base):
    """A person. Their events are in the store."""

    __tablename__ = "persons"
    __table_args__ = (
        UniqueConstraint("team_id", "uuid"),
        Index("ix_persons_created", "team_id", "created_at"),
        Index("ix_persons_seen", "team_id", "last_seen_at"),
    )

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    team_id: Mapped[int] = _project()
    uuid: Mapped[str] = mapped_column(String(36))
    properties: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = _time()
    is_identified: Mapped[bool] = mapped_column(Boolean)
    version: Mapped[int] = mapped_column(Integer)
    last_seen_at: Mapped[datetime | None] = _time()
    """Rounded down to the hour, so that few events write it."""


class DistinctIdRow(Base):
    """The person of a distinct id; None after the person was deleted.

    *version* counts the moves to another person. The store's `person_overrides` has the move of
    *published_version*.
    """

    __tablename__ = "person_distinct_ids"
    __table_args__ = (
        UniqueConstraint("team_id", "distinct_id"),
        Index("ix_person_distinct_ids_person", "team_id", "person_uuid"),
        Index(
            "ix_person_distinct_ids_unpublished",
            "team_id",
            sqlite_where=text("version > published_version"),
            postgresql_where=text("version > published_version"),
        ),
    )

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    team_id: Mapped[int] = _project()
    distinct_id: Mapped[str] = mapped_column(String(400))
    person_uuid: Mapped[str | None] = mapped_column(String(36))
    version: Mapped[int] = mapped_column(Integer)
    published_version: Mapped[int] = mapped_column(Integer)


class PersonMergeRow(Base):
    """A person who was absorbed into another, and the one who has their events today."""

    __tablename__ = "person_merges"
    __table_args__ = (Index("ix_person_merges_survivor", "team_id", "survivor_uuid"),)

    team_id: Mapped[int] = _project(primary_key=True)
    absorbed_uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    survivor_uuid: Mapped[str] = mapped_column(String(36))


class PersonlessIdRow(Base):
    """A distinct id whose events were stored without a person."""

    __tablename__ = "person_personless_ids"
    __table_args__ = (Index("ix_person_personless_ids_used", "last_used_at"),)

    team_id: Mapped[int] = _project(primary_key=True)
    distinct_id: Mapped[str] = mapped_column(String(400), primary_key=True)
    last_used_at: Mapped[datetime] = _time()
    """Rounded down to the day."""


class GroupTypeRow(Base):
    """A type of group, such as `company`. Its index names the events' column `$group_<index>`."""

    __tablename__ = "group_types"
    __table_args__ = (UniqueConstraint("team_id", "group_type"),)

    team_id: Mapped[int] = _project(primary_key=True)
    index: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    group_type: Mapped[str] = mapped_column(String(400))
    name_singular: Mapped[str | None] = mapped_column(String(400))
    name_plural: Mapped[str | None] = mapped_column(String(400))
    created_at: Mapped[datetime] = _time()


class GroupRow(Base):
    """A group, such as one company, with its properties."""

    __tablename__ = "groups"
    __table_args__ = (UniqueConstraint("team_id", "type_index", "group_key"),)

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    team_id: Mapped[int] = _project()
    type_index: Mapped[int] = mapped_column(Integer)
    group_key: Mapped[str] = mapped_column(String(400))
    properties: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = _time()
    version: Mapped[int] = mapped_column(Integer)


class WarningRow(Base):
    """An event that was not processed as its client meant it. The newest of each project are kept."""

    __tablename__ = "ingestion_warnings"
    __table_args__ = (UniqueConstraint("team_id", "event_uuid", "type"),)

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    team_id: Mapped[int] = _project()
    type: Mapped[str] = mapped_column(String(80))
    event_uuid: Mapped[str] = mapped_column(String(36))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = _time()


class HistoryCursorRow(Base):
    """How far the events of before there were people have been read, for each project."""

    __tablename__ = "person_history"

    team_id: Mapped[int] = _project(primary_key=True)
    until: Mapped[str] = mapped_column(String(40))
    """The events received before this time are read."""
    cursor: Mapped[str] = mapped_column(String(100))
    finished_at: Mapped[datetime | None] = _time()


class PersonDeletionRow(Base):
    """People who were deleted, and whose events the job has to change once more."""

    __tablename__ = "person_deletions"

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    team_id: Mapped[int] = _project()
    uuids: Mapped[list[str]] = mapped_column(JSON)
    distinct_ids: Mapped[list[str]] = mapped_column(JSON)
    with_events: Mapped[bool] = mapped_column(Boolean)
    deleted_at: Mapped[datetime] = _time()
