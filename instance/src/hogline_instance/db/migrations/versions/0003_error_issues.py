"""Issues of exceptions, with their fingerprints, history, rules, releases and symbol sets."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = (
    "error_symbol_parts", "error_symbol_sets", "error_releases", "error_rate_buckets", "error_config", "error_rules",
    "error_history", "error_fingerprints", "error_issues",
)  # fmt: skip


def _team(**options: Any) -> sa.Column[Any]:
    return sa.Column("team_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, **options)


def _issue() -> sa.Column[Any]:
    return sa.Column("issue_id", sa.String(36), sa.ForeignKey("error_issues.id", ondelete="CASCADE"), nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "error_issues",
        sa.Column("id", sa.String(36), primary_key=True),
        _team(index=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("severity", sa.String(20)),
        sa.Column("assignee_type", sa.String(10)),
        sa.Column("assignee_id", sa.String(64)),
        _time("created_at"),
        _time("snoozed_until", nullable=True),
    )
    op.create_table(
        "error_fingerprints",
        sa.Column("id", sa.Integer, primary_key=True),
        _team(index=True),
        sa.Column("fingerprint", sa.String(200), nullable=False),
        _issue(),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("squashed_version", sa.Integer, nullable=False),
        _time("first_seen"),
        _time("created_at"),
        sa.UniqueConstraint("team_id", "fingerprint"),
    )
    op.create_index("ix_error_fingerprints_issue_id", "error_fingerprints", ["issue_id"])
    op.create_table(
        "error_history",
        sa.Column("id", sa.Integer, primary_key=True),
        _team(index=True),
        _issue(),
        sa.Column("activity", sa.String(20), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        _time("created_at"),
    )
    op.create_index("ix_error_history_issue", "error_history", ["issue_id", "id"])
    _create_rules_and_limits()
    _create_symbols()


def _create_rules_and_limits() -> None:
    op.create_table(
        "error_rules",
        sa.Column("id", sa.String(36), primary_key=True),
        _team(index=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("filters", sa.JSON, nullable=False),
        sa.Column("order_key", sa.Integer, nullable=False),
        sa.Column("values", sa.JSON, nullable=False),
        sa.Column("disabled_data", sa.JSON(none_as_null=True)),
        _time("created_at"),
    )
    op.create_table(
        "error_config",
        _team(primary_key=True),
        sa.Column("name", sa.String(30), primary_key=True),
        sa.Column("values", sa.JSON, nullable=False),
    )
    op.create_table(
        "error_rate_buckets",
        _team(primary_key=True),
        sa.Column("issue_id", sa.String(36), primary_key=True),
        sa.Column("bucket", sa.Integer, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
    )


def _create_symbols() -> None:
    op.create_table(
        "error_releases",
        sa.Column("id", sa.String(36), primary_key=True),
        _team(index=True),
        sa.Column("hash_id", sa.String(128), nullable=False),
        sa.Column("version", sa.String(400), nullable=False),
        sa.Column("project", sa.String(400), nullable=False),
        sa.Column("metadata", sa.JSON),
        _time("created_at"),
        sa.UniqueConstraint("team_id", "hash_id"),
    )
    op.create_table(
        "error_symbol_sets",
        sa.Column("id", sa.String(36), primary_key=True),
        _team(index=True),
        sa.Column("ref", sa.String(1000), nullable=False),
        sa.Column("release_id", sa.String(36)),
        sa.Column("content_hash", sa.String(200)),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("is_stored", sa.Boolean, nullable=False),
        sa.Column("failure_reason", sa.Text),
        _time("last_used", nullable=True),
        _time("created_at"),
        sa.UniqueConstraint("team_id", "ref"),
    )
    op.create_table(
        "error_symbol_parts",
        sa.Column("set_id", sa.String(36), sa.ForeignKey("error_symbol_sets.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
