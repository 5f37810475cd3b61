"""Cohorts: named sets of people, either listed or described by what they are and did."""

from hogline_instance.cohorts.editing import create_static_cohort
from hogline_instance.cohorts.lookup import cohort_definitions, cohorts_of_people, cohorts_of_person, known_cohorts
from hogline_instance.cohorts.records import Cohorts

__all__ = [
    "Cohorts", "cohort_definitions", "cohorts_of_people", "cohorts_of_person", "create_static_cohort", "known_cohorts",
]  # fmt: skip
