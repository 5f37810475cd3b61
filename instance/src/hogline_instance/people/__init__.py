"""People: the distinct ids that are one person, their properties, and the groups they act for.

Other features use `lookup` and `Merge`; they write no table of this package.
"""

from hogline_instance.people.state import Merge

__all__ = ["Merge"]
