"""Cohorts: named sets of people, either listed or described by what they are and did."""

from hogline_instance.cohorts.lookup import cohort_definitions, cohorts_of_person, known_cohorts

__all__ = ["cohort_definitions", "cohorts_of_person", "known_cohorts"]
