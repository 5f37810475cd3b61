"""Definitions of events and properties."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def _team(**options: Any) -> sa.Column[Any]:
    return sa.Column("team_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, **options)


def _edited() -> list[sa.Column[Any]]:
    return [
        sa.Column("updated_at", sa.DateTime(timezone=True)),
        sa.Column("description", sa.Text),
        sa.Column("tags", sa.JSON),
        sa.Column("verified", sa.Boolean, nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "event_definitions",
        sa.Column("id", sa.String(36), primary_key=True),
        _team(),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        *_edited(),
        sa.UniqueConstraint("team_id", "name"),
    )
    op.create_table(
        "property_definitions",
        sa.Column("id", sa.String(36), primary_key=True),
        _team(),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("group_type_index", sa.Integer, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("property_type", sa.String(20)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        *_edited(),
        sa.UniqueConstraint("team_id", "kind", "group_type_index", "name"),
    )
    op.create_table(
        "event_properties",
        _team(primary_key=True),
        sa.Column("event", sa.String(400), primary_key=True),
        sa.Column("property", sa.String(200), primary_key=True),
    )


def downgrade() -> None:
    for table in ("event_properties", "property_definitions", "event_definitions"):
        op.drop_table(table)
