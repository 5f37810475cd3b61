"""Error tracking: exceptions become issues, which people read, resolve, merge and assign.

It knows the pipeline, the store and SQL. It must not know flags, insights or how events come in.
"""

from hogline_instance.errors.browser_rules import BrowserRules
from hogline_instance.errors.stack import Failure, failures

__all__ = ["BrowserRules", "Failure", "failures"]
