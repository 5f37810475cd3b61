"""Cohorts and the people in them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "cohorts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("team_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("is_static", sa.Boolean, nullable=False),
        sa.Column("filters", sa.JSON, nullable=False),
        sa.Column("is_calculating", sa.Boolean, nullable=False),
        sa.Column("last_calculation", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text),
        sa.Column("errors_calculating", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "cohort_people",
        sa.Column("cohort_id", sa.Integer, sa.ForeignKey("cohorts.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("person_uuid", sa.String(36), primary_key=True),
        sa.Column("team_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    )
    op.create_index("ix_cohort_people_person", "cohort_people", ["team_id", "person_uuid"])


def downgrade() -> None:
    op.drop_table("cohort_people")
    op.drop_table("cohorts")
