"""The tables of projects and personal keys."""

from datetime import datetime

from sqlalchemy import DateTime, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from hogline_instance.db import Base, utc_now

__all__ = ["PersonalKeyRow", "ProjectRow"]


class ProjectRow(Base):
    """A project: the owner of a token and of all events that came with it."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    token: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)


class PersonalKeyRow(Base):
    """A personal key, which reads one project. Only its hash is kept, as `sha256$<hex>`.

    Source: docs/internals/flags-protocol.md#definitions-endpoint.
    """

    __tablename__ = "personal_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    key_hash: Mapped[str] = mapped_column(String(80), unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
