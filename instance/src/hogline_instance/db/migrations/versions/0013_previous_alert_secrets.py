"""The secret of a webhook before its last change, which signs beside the new one for a day."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("alerts", sa.Column("previous_secret", sa.String(100), nullable=False, server_default=""))
    op.add_column("alerts", sa.Column("previous_secret_until", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("alerts", "previous_secret_until")
    op.drop_column("alerts", "previous_secret")
