"""Projects and their keys: rows of a SQL database (SQLite in the data folder, PostgreSQL by URL), migrated at start."""

from hogline_instance.projects.projects import Project, Projects

__all__ = ["Project", "Projects"]
