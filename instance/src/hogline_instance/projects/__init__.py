"""Projects and their keys: the owner of a token, and the project that a personal key may read."""

from hogline_instance.project import Project
from hogline_instance.projects.browser_config import FLAGS, config_of, has_no_quota
from hogline_instance.projects.lookup import Projects
from hogline_instance.projects.uses import recordings_use_flag

__all__ = ["FLAGS", "Project", "Projects", "config_of", "has_no_quota", "recordings_use_flag"]
