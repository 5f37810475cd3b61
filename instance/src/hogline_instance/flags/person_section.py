"""The flags of a person as they evaluate now, on the person's page."""

from collections.abc import Mapping

from hogline_instance.flags.answers import describe
from hogline_instance.flags.evaluation import subject_for
from hogline_instance.flags.flag_set import flag_sets
from hogline_instance.flags.request import FlagsRequest
from hogline_instance.people import FoundPerson, MakeSection, PersonSection
from hogline_instance.project import Project
from hogline_instance.services import Services

__all__ = ["build_section"]

_MAX_FLAGS = 200


def build_section(services: Services) -> MakeSection:
    """Return the function that makes the section."""
    sets = flag_sets(services.database)

    def section(project: Project, person: FoundPerson, groups: Mapping[str, str]) -> PersonSection:
        flags = sets.of(project.id)
        # A person whose distinct ids are gone has no request that could name them.
        asked = FlagsRequest(person.distinct_ids[0] if person.distinct_ids else "", groups=groups, runtime="server")
        subject = subject_for(services.database, flags, project.id, asked)
        answers = [describe(flags, flag, subject) for flag in flags.flags[:_MAX_FLAGS]]
        return PersonSection("flags/person.html", {"answers": answers, "total": len(flags.flags)})

    return section
