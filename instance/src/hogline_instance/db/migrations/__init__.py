"""Alembic's migrations of the projects' database, applied at start."""
