"""The SQL tables of cohorts and of the people in them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hogline_instance.db import Base, utc_now

__all__ = ["CohortPersonRow", "CohortRow"]


class CohortRow(Base):
    """A cohort. A dynamic one has filters, and its people are calculated."""

    __tablename__ = "cohorts"

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(400))
    description: Mapped[str] = mapped_column(Text)
    deleted: Mapped[bool] = mapped_column(Boolean, default=False)
    is_static: Mapped[bool] = mapped_column(Boolean)
    filters: Mapped[dict[str, Any]] = mapped_column(JSON)
    """`{"properties": {"type": "AND" or "OR", "values": [...]}}`; empty for a static cohort."""
    is_calculating: Mapped[bool] = mapped_column(Boolean, default=False)
    last_calculation: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_error: Mapped[str | None] = mapped_column(Text)
    errors_calculating: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)


class CohortPersonRow(Base):
    """A person who is in a cohort, as of its last calculation."""

    __tablename__ = "cohort_people"
    __table_args__ = (Index("ix_cohort_people_person", "team_id", "person_uuid"),)

    cohort_id: Mapped[int] = mapped_column(ForeignKey("cohorts.id", ondelete="CASCADE"), primary_key=True)
    person_uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
