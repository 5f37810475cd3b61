"""The SQL tables of event definitions, property definitions, and the properties of each event."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hogline_instance.db import Base, utc_now

__all__ = ["EVENT", "GROUP", "NO_GROUP", "PERSON", "EventDefinitionRow", "EventPropertyRow", "PropertyDefinitionRow"]

EVENT, PERSON, GROUP = "event", "person", "group"
NO_GROUP = -1


def _project(**options: Any) -> Mapped[int]:
    return mapped_column("team_id", ForeignKey("projects.id", ondelete="CASCADE"), **options)


class EventDefinitionRow(Base):
    """An event name that was seen."""

    __tablename__ = "event_definitions"
    __table_args__ = (UniqueConstraint("team_id", "name"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    team_id: Mapped[int] = _project()
    name: Mapped[str] = mapped_column(String(400))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
    last_seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """Rounded down to the hour, so that few events write it."""
    updated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    description: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str] | None] = mapped_column(JSON)
    verified: Mapped[bool] = mapped_column(Boolean, default=False)
    hidden: Mapped[bool] = mapped_column(Boolean, default=False)


class PropertyDefinitionRow(Base):
    """A property that was seen on events, persons or groups, with the type of its first value."""

    __tablename__ = "property_definitions"
    __table_args__ = (UniqueConstraint("team_id", "kind", "group_type_index", "name"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    team_id: Mapped[int] = _project()
    kind: Mapped[str] = mapped_column(String(10))
    group_type_index: Mapped[int] = mapped_column(Integer)
    """The index of the group type; NO_GROUP for events and persons."""
    name: Mapped[str] = mapped_column(String(200))
    property_type: Mapped[str | None] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
    updated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    description: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str] | None] = mapped_column(JSON)
    verified: Mapped[bool] = mapped_column(Boolean, default=False)
    hidden: Mapped[bool] = mapped_column(Boolean, default=False)


class EventPropertyRow(Base):
    """A property that was seen on events of this name."""

    __tablename__ = "event_properties"

    team_id: Mapped[int] = _project(primary_key=True)
    event: Mapped[str] = mapped_column(String(400), primary_key=True)
    property: Mapped[str] = mapped_column(String(200), primary_key=True)
