"""The cohorts of a person, on the person's page."""

from collections.abc import Mapping

from hogline_instance.cohorts.lookup import cohorts_of_person, known_cohorts
from hogline_instance.people import FoundPerson, MakeSection, PersonSection
from hogline_instance.project import Project
from hogline_instance.services import Services

__all__ = ["build_section"]


def build_section(services: Services) -> MakeSection:
    """Return the function that makes the section."""

    def section(project: Project, person: FoundPerson, _groups: Mapping[str, str]) -> PersonSection:
        with services.database.session() as session:
            ids = cohorts_of_person(session, project.id, person.uuid)
            rows = [row for number, row in known_cohorts(session, project.id).items() if number in ids]
        return PersonSection("cohorts/person.html", {"cohorts": rows})

    return section
