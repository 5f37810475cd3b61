"""The parts that other features add to people; `features` gives them to API and pages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session

from hogline_instance.people.deletion import OnDeletion
from hogline_instance.people.lookup import FoundPerson
from hogline_instance.project import Project

__all__ = ["CohortMembers", "MakeSection", "Neighbours", "PersonSection"]


@dataclass(frozen=True, slots=True)
class PersonSection:
    """A section of a person's page: a template of the feature, and its values."""

    template: str
    values: Mapping[str, Any]


MakeSection = Callable[[Project, FoundPerson, Mapping[str, str]], PersonSection]
"""A function of a project, a person and their latest groups (type -> key)."""
CohortMembers = Callable[[Session, int, int], Select[Any] | None]
"""A function of a session, a project and a cohort that returns a query for the uuids of its people.

None: the project has no such cohort.
"""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The parts that other features add to people."""

    on_deletion: Sequence[OnDeletion] = ()
    """Functions that delete what other features keep of people who are deleted."""
    members: CohortMembers | None = None
    sections: Sequence[MakeSection] = ()
