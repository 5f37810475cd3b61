"""The SQL tables of alerts, and of the occasions that they deliver."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hogline_instance.db import Base, utc_now

__all__ = ["CANCELLED", "FAILED", "SENT", "STATUSES", "TEST", "WAITING", "AlertRow", "DeliveryRow"]

WAITING, SENT, FAILED, CANCELLED = "waiting", "sent", "failed", "cancelled"
STATUSES = (WAITING, SENT, FAILED, CANCELLED)
TEST = "test"
"""The kind of a delivery that a person asked for to test an alert."""


class AlertRow(Base):
    """An alert: which occasions it is about, and where they are sent."""

    __tablename__ = "alerts"

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(10))
    """`webhook`, `slack` or `mail`."""
    url: Mapped[str] = mapped_column(Text)
    addresses: Mapped[list[str]] = mapped_column(JSON)
    secret: Mapped[str] = mapped_column(String(100))
    """The secret that signs the requests of a webhook; '' for the other kinds."""
    previous_secret: Mapped[str] = mapped_column(String(100), default="", server_default="")
    """The secret before *secret*, which signs beside it until *previous_secret_until*."""
    previous_secret_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    triggers: Mapped[list[str]] = mapped_column(JSON)
    filters: Mapped[dict[str, Any]] = mapped_column(JSON)
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    digest_after: Mapped[int] = mapped_column(Integer)
    """The most messages that are sent in *digest_minutes*."""
    digest_minutes: Mapped[int] = mapped_column(Integer)
    omitted: Mapped[int] = mapped_column(Integer, default=0)
    """How many occasions found no room; the next message says so, and sets it to 0."""
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    """The journal id of the process that sends this alert's messages, until *claimed_until*."""
    claimed_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)


class DeliveryRow(Base):
    """An occasion to be delivered by an alert, and what became of it.

    The rows of a digest share their *message_id*.
    """

    __tablename__ = "alert_deliveries"
    __table_args__ = (
        UniqueConstraint("alert_id", "occasion"),
        Index("ix_alert_deliveries_due", "status", "next_attempt_at"),
        Index("ix_alert_deliveries_issue", "team_id", "issue_id"),
        Index("ix_alert_deliveries_message", "message_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"))
    occasion: Mapped[str] = mapped_column(String(150))
    kind: Mapped[str] = mapped_column(String(10))
    issue_id: Mapped[str] = mapped_column(String(36))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The issue as it was, with facts of the event; see `recording.py`."""
    status: Mapped[str] = mapped_column(String(10), default=WAITING)
    message_id: Mapped[str | None] = mapped_column(String(36))
    """Set before the first attempt, and the same in each further one."""
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_attempt_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
    begun_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    answer: Mapped[str] = mapped_column(Text, default="")
    """The answer of the last attempt, or the reason of its failure."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
