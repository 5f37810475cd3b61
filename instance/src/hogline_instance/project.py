"""A project, the keys that act on it, and the protocol of the lookup that finds them."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["CHOSEN_PROJECT", "PersonalKey", "Project", "ProjectLookup"]

CHOSEN_PROJECT: ContextVar[int | None] = ContextVar("hogline_chosen_project", default=None)
"""The id of the project that a visitor of the pages chose; None for the first project.

The site sets it for each request, so that no page can forget the choice.
"""


@dataclass(frozen=True, slots=True)
class Project:
    """The owner of a token and of every event that was sent with it."""

    id: int
    name: str
    token: str
    settings: Mapping[str, object] = field(default_factory=dict, hash=False)
    """The settings that differ from their defaults, by their names in PostHog's API."""

    @property
    def timezone(self) -> str:
        """The IANA name of the time zone of its days."""
        return str(self.settings.get("timezone") or "UTC")

    @property
    def anonymizes_ips(self) -> bool:
        """Whether events are kept without `$ip`."""
        return self.settings.get("anonymize_ips") is True


@dataclass(frozen=True, slots=True)
class PersonalKey:
    """A personal key (`phx_...`): its project, and what else it may do."""

    id: int
    label: str
    project: Project
    """The project of `@current`."""
    scopes: frozenset[str] = frozenset({"*"})
    """`<object>:read`, `<object>:write`, or `*` for everything."""
    project_ids: frozenset[int] | None = None
    """The projects that it may act on; None for all."""

    def allows(self, scope: str) -> bool:
        """Return whether the key has *scope*, such as `person:read`; writing includes reading."""
        name, _, action = scope.partition(":")
        return bool(self.scopes & {"*", scope}) or (action == "read" and f"{name}:write" in self.scopes)

    def reaches(self, project_id: int) -> bool:
        """Return whether the key may act on the project."""
        return self.project_ids is None or project_id in self.project_ids


class ProjectLookup(Protocol):
    """Finds projects by their keys.

    The feature `projects` implements it.
    """

    def current(self) -> Project:
        """Return the project of the page that is being built: the visitor's choice, or the first.

        It is also `@current` in a request without a key.
        """
        ...

    def all(self) -> tuple[Project, ...]:
        """Return every project, by id. Answers from memory."""
        ...

    def by_id(self, project_id: int) -> Project | None:
        """Return the project with this id, or None. Answers from memory."""
        ...

    def by_token(self, token: str) -> Project | None:
        """Return the project of a project token (`phc_...`), or None.

        Answers from memory: the event loop may call it.
        """
        ...

    def by_secret_token(self, token: str) -> Project | None:
        """Return the project of a secret token (`phs_...`), or None. Answers from memory."""
        ...

    def by_personal_key(self, key: str) -> Project | None:
        """Return the project of a personal key (`phx_...`), or None. May ask SQL, so use a thread."""
        ...

    def find_personal_key(self, key: str) -> PersonalKey | None:
        """Return the personal key (`phx_...`) with its scopes, or None.

        May ask SQL: call it in a thread.
        """
        ...

    def refresh(self) -> None:
        """Reload the projects, so that tokens made by another process are known."""
        ...

    def forget_keys(self) -> None:
        """Ask the database again for every personal key, after a change to keys or projects."""
        ...
