"""The people who were absorbed into others, so that links to them lead on."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "person_merges",
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.Column("absorbed_uuid", sa.String(36), nullable=False),
        sa.Column("survivor_uuid", sa.String(36), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["projects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("team_id", "absorbed_uuid"),
    )
    op.create_index("ix_person_merges_survivor", "person_merges", ["team_id", "survivor_uuid"])


def downgrade() -> None:
    op.drop_table("person_merges")
