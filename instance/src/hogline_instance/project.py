"""A project, the owner of keys and events, and the protocol of the lookup that finds it."""

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Project", "ProjectLookup"]


@dataclass(frozen=True, slots=True)
class Project:
    """The owner of a token and of every event that was sent with it."""

    id: int
    name: str
    token: str


class ProjectLookup(Protocol):
    """Finds projects by their keys.

    The feature `projects` implements it.
    """

    def current(self) -> Project:
        """Return the project of the pages, and of `@current` in a request without a key."""
        ...

    def by_token(self, token: str) -> Project | None:
        """Return the project of a project token (`phc_...`), or None.

        Answers from memory: the event loop may call it.
        """
        ...

    def by_personal_key(self, key: str) -> Project | None:
        """Return the project that a personal key (`phx_...`) may read, or None.

        May ask SQL: call it in a thread.
        """
        ...

    def refresh(self) -> None:
        """Reload the projects, so that tokens made by another process are known."""
        ...
