"""The tables of projects, personal keys, deleted projects and the organisation."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from hogline_instance.db import Base, utc_now

__all__ = ["DeletedProjectRow", "OrganizationRow", "PersonalKeyRow", "ProjectRow"]


class ProjectRow(Base):
    """A project: the owner of a token and of all events that came with it."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    token: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
    updated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    settings: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """The settings that differ from their defaults."""
    secret_token: Mapped[str | None] = mapped_column(String(64), index=True, unique=True)
    secret_token_backup: Mapped[str | None] = mapped_column(String(64))
    """The secret token before the last rotation, which stays valid until it is dropped."""


class PersonalKeyRow(Base):
    """A personal key. Only its hash is kept, as `sha256$<hex>`.

    Source: docs/internals/flags-protocol.md#definitions-endpoint.
    """

    __tablename__ = "personal_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    """The project of `@current`."""
    key_hash: Mapped[str] = mapped_column(String(80), unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
    label: Mapped[str | None] = mapped_column(String(40))
    scopes: Mapped[list[str] | None] = mapped_column(JSON)
    """The scopes of the key; null means all."""
    project_ids: Mapped[list[int] | None] = mapped_column(JSON)
    """The projects that the key may act on; null is all of them."""


class DeletedProjectRow(Base):
    """A project that was deleted. Its id is never given to another one.

    Events that were on their way when it was deleted are recognised by it.
    """

    __tablename__ = "deleted_projects"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    deleted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
    purged_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its events were last deleted from the store, after it was deleted itself."""


class OrganizationRow(Base):
    """The organisation that owns all projects. There is one."""

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
