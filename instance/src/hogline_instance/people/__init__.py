"""People: the distinct ids that are one person, their properties, and the groups they act for.

Other features use what is named here. They may read persons, and write no table of this package.
"""

from hogline_instance.people.listing import person_values
from hogline_instance.people.lookup import (
    FoundGroup,
    FoundPerson,
    GroupType,
    find_group,
    find_groups,
    find_people,
    find_people_by_uuid,
    find_person,
    find_person_by_uuid,
    group_types,
    names_of,
    stored_properties,
)
from hogline_instance.people.names import display_name, name_properties
from hogline_instance.people.neighbours import CohortMembers, MakeSection, PersonSection
from hogline_instance.people.person_json import iso, listed_person_json
from hogline_instance.people.shown import (
    event_person_json,
    live_summary,
    of_person,
    people_of,
    shown_names,
    summaries,
)
from hogline_instance.people.state import Merge
from hogline_instance.people.tables import PersonRow

__all__ = [
    "CohortMembers",
    "FoundGroup",
    "FoundPerson",
    "GroupType",
    "MakeSection",
    "Merge",
    "PersonRow",
    "PersonSection",
    "display_name",
    "event_person_json",
    "find_group",
    "find_groups",
    "find_people",
    "find_people_by_uuid",
    "find_person",
    "find_person_by_uuid",
    "group_types",
    "iso",
    "listed_person_json",
    "live_summary",
    "name_properties",
    "names_of",
    "of_person",
    "people_of",
    "person_values",
    "shown_names",
    "stored_properties",
    "summaries",
]
