"""Alembic's environment: `migrate` passes the connection, and there is no configuration file."""

from alembic import context

from hogline_instance.db.metadata import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
