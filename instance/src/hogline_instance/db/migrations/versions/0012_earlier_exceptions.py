"""How far the exceptions of before there were issues have been read."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "error_earlier_exceptions",
        sa.Column("team_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("until", sa.String(40), nullable=False),
        sa.Column("cursor", sa.String(100), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )


def downgrade() -> None:
    op.drop_table("error_earlier_exceptions")
