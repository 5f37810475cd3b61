"""Projects and their keys: who owns a token, and which project a personal key may read."""

from hogline_instance.project import Project
from hogline_instance.projects.lookup import Projects

__all__ = ["Project", "Projects"]
