"""Settings of projects, scopes of personal keys, deleted projects and the organisation."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("projects", sa.Column("updated_at", sa.DateTime(timezone=True)))
    op.add_column("projects", sa.Column("settings", sa.JSON))
    op.add_column("projects", sa.Column("secret_token", sa.String(64)))
    op.add_column("projects", sa.Column("secret_token_backup", sa.String(64)))
    op.create_index("ix_projects_secret_token", "projects", ["secret_token"], unique=True)
    op.add_column("personal_keys", sa.Column("label", sa.String(40)))
    op.add_column("personal_keys", sa.Column("scopes", sa.JSON))
    op.add_column("personal_keys", sa.Column("project_ids", sa.JSON))
    op.create_table(
        "deleted_projects",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("purged_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "organizations",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("organizations")
    op.drop_table("deleted_projects")
    for column in ("project_ids", "scopes", "label"):
        op.drop_column("personal_keys", column)
    op.drop_index("ix_projects_secret_token", "projects")
    for column in ("secret_token_backup", "secret_token", "settings", "updated_at"):
        op.drop_column("projects", column)
