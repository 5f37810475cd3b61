"""Persons, their distinct ids, groups, and ingestion warnings."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TABLES = (
    "person_history", "ingestion_warnings", "groups", "group_types", "person_personless_ids", "person_distinct_ids", "persons",
)  # fmt: skip


def _id() -> sa.Column[Any]:
    return sa.Column("id", sa.Integer().with_variant(sa.BigInteger, "postgresql"), primary_key=True)


def _team(**options: Any) -> sa.Column[Any]:
    return sa.Column("team_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, **options)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "persons",
        _id(),
        _team(),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("properties", sa.JSON, nullable=False),
        _time("created_at"),
        sa.Column("is_identified", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        _time("last_seen_at", nullable=True),
        sa.UniqueConstraint("team_id", "uuid"),
    )
    op.create_index("ix_persons_created", "persons", ["team_id", "created_at"])
    op.create_index("ix_persons_seen", "persons", ["team_id", "last_seen_at"])
    op.create_table(
        "person_distinct_ids",
        _id(),
        _team(),
        sa.Column("distinct_id", sa.String(400), nullable=False),
        sa.Column("person_uuid", sa.String(36)),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("published_version", sa.Integer, nullable=False),
        sa.UniqueConstraint("team_id", "distinct_id"),
    )
    op.create_index("ix_person_distinct_ids_person", "person_distinct_ids", ["team_id", "person_uuid"])
    op.create_index(
        "ix_person_distinct_ids_unpublished",
        "person_distinct_ids",
        ["team_id"],
        sqlite_where=sa.text("version > published_version"),
        postgresql_where=sa.text("version > published_version"),
    )
    op.create_table(
        "person_personless_ids",
        _team(primary_key=True),
        sa.Column("distinct_id", sa.String(400), primary_key=True),
        _time("last_used_at"),
    )
    op.create_index("ix_person_personless_ids_used", "person_personless_ids", ["last_used_at"])
    _create_groups()
    _create_bookkeeping()


def _create_groups() -> None:
    op.create_table(
        "group_types",
        _team(primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("group_type", sa.String(400), nullable=False),
        sa.Column("name_singular", sa.String(400)),
        sa.Column("name_plural", sa.String(400)),
        _time("created_at"),
        sa.UniqueConstraint("team_id", "group_type"),
    )
    op.create_table(
        "groups",
        _id(),
        _team(),
        sa.Column("type_index", sa.Integer, nullable=False),
        sa.Column("group_key", sa.String(400), nullable=False),
        sa.Column("properties", sa.JSON, nullable=False),
        _time("created_at"),
        sa.Column("version", sa.Integer, nullable=False),
        sa.UniqueConstraint("team_id", "type_index", "group_key"),
    )


def _create_bookkeeping() -> None:
    op.create_table(
        "ingestion_warnings",
        _id(),
        _team(),
        sa.Column("type", sa.String(80), nullable=False),
        sa.Column("event_uuid", sa.String(36), nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        _time("created_at"),
        sa.UniqueConstraint("team_id", "event_uuid", "type"),
    )
    op.create_table(
        "person_history",
        _team(primary_key=True),
        sa.Column("until", sa.String(40), nullable=False),
        sa.Column("cursor", sa.String(100), nullable=False),
        _time("finished_at", nullable=True),
    )


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
