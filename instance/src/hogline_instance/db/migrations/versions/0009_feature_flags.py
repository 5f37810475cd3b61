"""Feature flags, their history and hash keys, early access features and scheduled changes."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_TABLES = (
    "scheduled_changes", "early_access_features", "feature_flag_hash_keys", "feature_flag_history", "feature_flags",
)  # fmt: skip


def _team(**options: Any) -> sa.Column[Any]:
    return sa.Column("team_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, **options)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "feature_flags",
        sa.Column("id", sa.Integer, primary_key=True),
        _team(),
        _text("key", 400),
        _text("live_key", 400, nullable=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("filters", sa.JSON, nullable=False),
        _flag("active"),
        _flag("archived"),
        _flag("deleted"),
        sa.Column("version", sa.Integer, nullable=False),
        _flag("ensure_experience_continuity"),
        _text("bucketing_identifier", 20, nullable=True),
        _text("evaluation_runtime", 10),
        sa.Column("evaluation_contexts", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        _flag("is_remote_configuration"),
        _flag("has_encrypted_payloads"),
        _text("created_by", 200),
        _text("last_modified_by", 200),
        _time("created_at"),
        _time("updated_at"),
        sa.UniqueConstraint("team_id", "live_key"),
    )
    op.create_index("ix_feature_flags_key", "feature_flags", ["team_id", "key"])
    op.create_table(
        "feature_flag_history",
        sa.Column("id", sa.Integer, primary_key=True),
        _team(index=True),
        sa.Column("flag_id", sa.Integer, sa.ForeignKey("feature_flags.id", ondelete="CASCADE"), nullable=False),
        _text("activity", 20),
        _text("actor", 200),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        _time("created_at"),
    )
    op.create_index("ix_feature_flag_history_flag", "feature_flag_history", ["flag_id", "id"])
    op.create_table(
        "feature_flag_hash_keys",
        _team(primary_key=True),
        sa.Column("person_uuid", sa.String(36), primary_key=True),
        sa.Column("flag_key", sa.String(400), primary_key=True),
        _text("hash_key", 400),
    )
    _create_neighbours()


def _create_neighbours() -> None:
    op.create_table(
        "early_access_features",
        sa.Column("id", sa.String(36), primary_key=True),
        _team(index=True),
        sa.Column("flag_id", sa.Integer, sa.ForeignKey("feature_flags.id", ondelete="SET NULL")),
        _text("name", 200),
        sa.Column("description", sa.Text, nullable=False),
        _text("stage", 40),
        _text("documentation_url", 800),
        sa.Column("payload", sa.JSON),
        _time("created_at"),
    )
    op.create_table(
        "scheduled_changes",
        sa.Column("id", sa.Integer, primary_key=True),
        _team(index=True),
        _text("record_id", 200),
        _text("model_name", 100),
        sa.Column("payload", sa.JSON, nullable=False),
        _time("scheduled_at"),
        _time("executed_at", nullable=True),
        _time("last_executed_at", nullable=True),
        sa.Column("failure_reason", sa.Text),
        _flag("is_recurring"),
        _text("recurrence_interval", 20, nullable=True),
        _text("cron_expression", 100, nullable=True),
        _time("end_date", nullable=True),
        _text("timezone", 64, nullable=True),
        _text("created_by", 200),
        _time("created_at"),
    )
    op.create_index("ix_scheduled_changes_due", "scheduled_changes", ["executed_at", "scheduled_at"])


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
