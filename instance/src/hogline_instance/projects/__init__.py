"""Projects and their keys: the owner of a token, and the project that a personal key may read."""

from hogline_instance.project import Project
from hogline_instance.projects.lookup import Projects

__all__ = ["Project", "Projects"]
