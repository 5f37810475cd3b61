"""The secret of a symbol set's upload."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("error_symbol_sets", sa.Column("upload_token", sa.String(64)))


def downgrade() -> None:
    op.drop_column("error_symbol_sets", "upload_token")
