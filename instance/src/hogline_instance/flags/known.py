"""The flags and cohorts of a project, to which a flag's filters may refer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Known", "KnownFlag", "dependencies"]


@dataclass(frozen=True, slots=True)
class KnownFlag:
    """A flag that others may depend on."""

    id: int
    key: str
    active: bool
    filters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """The flags by id, and the cohorts' filters by id as text; a static cohort has None."""

    flags: Mapping[int, KnownFlag]
    cohorts: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)

    def path(self, start: int, goal: int) -> list[str]:
        """Return the keys from *start* to *goal* along dependencies; empty if none leads there."""
        before: dict[int, int | None] = {start: None}
        waiting = [start]
        while waiting:
            current = waiting.pop()
            if current == goal:
                steps: list[str] = []
                place: int | None = goal
                while place is not None:
                    steps.append(self.flags[place].key)
                    place = before[place]
                return steps[::-1]
            for following in dependencies(self.flags[current].filters):
                if following in self.flags and following not in before:
                    before[following] = current
                    waiting.append(following)
        return []

    def dependents(self, flag_id: int, *, only_active: bool = False) -> list[KnownFlag]:
        """Return the flags that depend on *flag_id* directly."""
        return [
            flag
            for flag in self.flags.values()
            if flag_id in dependencies(flag.filters) and (flag.active or not only_active)
        ]

    def is_behavioural(self, cohort_id: str) -> bool:
        """Return whether the cohort, or one inside it, depends on what people did."""
        seen: set[str] = set()
        waiting: list[Any] = [{"type": "cohort", "value": cohort_id}]
        while waiting:
            node = waiting.pop()
            if isinstance(node, list):
                waiting += node
            if not isinstance(node, Mapping):
                continue
            if node.get("type") == "behavioral":
                return True
            if node.get("type") == "cohort" and (inner := str(node.get("value"))) not in seen:
                seen.add(inner)
                waiting.append(self.cohorts.get(inner))
            waiting.append(node.get("values"))
        return False


def dependencies(filters: Mapping[str, Any]) -> list[int]:
    """Return the ids of the flags that *filters* name."""
    return [
        int(str(each["key"]))
        for group in filters.get("groups") or []
        for each in group.get("properties") or []
        if each.get("type") == "flag" and str(each.get("key")).isdigit()
    ]
