"""Error tracking: exceptions become issues, which people read, resolve, merge and assign.

It knows the pipeline, the store and SQL. It must not know flags, insights or how events come in.
"""

from hogline_instance.errors.browser_rules import BrowserRules
from hogline_instance.errors.occasions import CREATED, REOPENED, SPIKING, IssueOccasion, OnOccasions
from hogline_instance.errors.prepared import release_of
from hogline_instance.errors.rules import FilterError, Rule, check_filters
from hogline_instance.errors.stack import Failure, failures

__all__ = [
    "CREATED",
    "REOPENED",
    "SPIKING",
    "BrowserRules",
    "Failure",
    "FilterError",
    "IssueOccasion",
    "OnOccasions",
    "Rule",
    "check_filters",
    "failures",
    "release_of",
]
