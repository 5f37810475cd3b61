"""Filters: the parts of conditions and cohorts: properties, cohorts, other flags.

Each becomes one check.

A cohort is a group of filters and of further groups. A flag that another one depends on is
evaluated for itself: with the properties of the person or group that it is about, whichever flag
depends on it.
Source: docs/internals/flags-protocol.md#operators.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from hogline.flags.evaluation.operators import Check, property_check
from hogline.flags.evaluation.subject import Subject
from hogline.flags.evaluation.verdict import (
    DEPENDENCY,
    SERVER,
    SERVER_DEPENDENCY,
    UNSUPPORTED,
    Answer,
    FlagValue,
    Unknown,
    graver,
)

__all__ = ["Filters", "Finding", "matches_all"]

Finding: TypeAlias = FlagValue | Unknown
"""The value of a flag that others depend on."""
_COHORT_OPERATORS = ("exact", "in", "not_in")


def matches_all(checks: Sequence[Check], properties: Mapping[str, Any], subject: Subject) -> Answer:
    """Return whether all *checks* hold.

    A check that certainly fails wins over those that are unknown.
    """
    first: Unknown | None = None
    reason = None
    for check in checks:
        answer = check(properties, subject)
        if answer is True:
            continue
        if answer is False:
            return False
        first = first or answer
        reason = graver(reason, answer.reason)
    if first is None or reason is None:
        return True
    return first if first.reason is reason else Unknown(reason, first.ends)


class Filters:
    """Makes checks of the filters of one set of definitions."""

    def __init__(
        self,
        cohorts: Mapping[str, Any],
        matching_version: int,
        find: Callable[[str, Subject], Finding],
        known: Callable[[str], bool],
    ) -> None:
        self._cohorts = cohorts
        self._matching_version = matching_version
        self._find = find  # a function that evaluates another flag
        self._known = known  # a function that returns whether there is such a flag
        self._made: dict[str, tuple[Check, bool]] = {}  # cohorts, by id
        # Cohorts that are being compiled. One that contains itself would never end.
        self._open: set[str] = set()

    def for_one_flag(self) -> "Filters":
        """Return a copy for compiling one flag.

        A cohort that another thread compiles at the same time then does not seem to contain itself.
        """
        own = copy.copy(self)
        own._open = set()  # noqa: SLF001 - of the same class
        return own

    def check(self, filter_: Mapping[str, Any]) -> tuple[Check, bool]:
        """Return the check of *filter_*, and whether the filter is broken.

        A broken filter cannot be evaluated, whatever the properties are.
        """
        kind = filter_.get("type")
        if kind == "cohort":
            return self._cohort(filter_)
        if kind == "flag":
            return self._dependency(filter_)
        return property_check(filter_, self._matching_version)

    # -- cohorts -----------------------------------------------------------------------------------

    def _cohort(self, filter_: Mapping[str, Any]) -> tuple[Check, bool]:
        number = str(filter_.get("value"))
        if number not in self._cohorts or number in self._open:
            return _answering(SERVER), True  # a static cohort, which only the server knows
        operator = filter_.get("operator") or "exact"
        if operator not in _COHORT_OPERATORS:
            return _answering(UNSUPPORTED), True
        if number not in self._made:
            self._open.add(number)
            try:
                self._made[number] = self._group(self._cohorts[number])
            finally:
                self._open.discard(number)
        check, broken = self._made[number]
        return (_inverted(check) if operator == "not_in" else check), broken

    def _group(self, group: Any) -> tuple[Check, bool]:
        if group == {}:
            return _answering(True), False  # the server's form of a group without filters
        if not isinstance(group, dict) or group.get("type") not in ("AND", "OR"):
            return _answering(SERVER), True
        entries = group.get("values")
        if not isinstance(entries, list):
            return _answering(SERVER), True
        made = [self._entry(entry) for entry in entries]
        if not made:
            return _answering(True), False
        return _joined([check for check, _ in made], all_of=group["type"] == "AND"), any(broken for _, broken in made)

    def _entry(self, entry: Any) -> tuple[Check, bool]:
        if not isinstance(entry, dict):
            return _answering(SERVER), True
        if entry == {} or "values" in entry or entry.get("type") in ("AND", "OR"):
            return self._group(entry)
        check, broken = self.check(entry)
        return (_inverted(check) if entry.get("negation") else check), broken

    # -- other flags -------------------------------------------------------------------------------

    def _dependency(self, filter_: Mapping[str, Any]) -> tuple[Check, bool]:
        key, wanted, chain = filter_.get("key"), filter_.get("value"), filter_.get("dependency_chain")
        if filter_.get("operator") != "flag_evaluates_to" or not key or wanted is None:
            return _answering(False), False  # no flag has such a value; the server agrees
        if not isinstance(chain, list) or not chain or not all(map(self._known, chain)):
            return _answering(UNSUPPORTED), True

        def check(_properties: Mapping[str, Any], subject: Subject) -> Answer:
            finding: Finding = UNSUPPORTED
            for link in chain:
                finding = self._find(link, subject)
                if isinstance(finding, Unknown):
                    return SERVER_DEPENDENCY if finding.ends else DEPENDENCY
            if chain[-1] != key:
                finding = self._find(key, subject) if key in chain else UNSUPPORTED
            return finding if isinstance(finding, Unknown) else _evaluates_to(finding, wanted)

        return check, False


def _evaluates_to(value: FlagValue, wanted: Any) -> bool:
    """Return whether a flag's *value* is the *wanted* one; any variant is true as well."""
    if isinstance(wanted, bool):
        return bool(value) is wanted
    return isinstance(value, str) and value == wanted


def _answering(answer: Answer) -> Check:
    return lambda _properties, _subject: answer


def _inverted(check: Check) -> Check:
    def inverted(properties: Mapping[str, Any], subject: Subject) -> Answer:
        answer = check(properties, subject)
        return answer if isinstance(answer, Unknown) else not answer

    return inverted


def _joined(checks: Sequence[Check], *, all_of: bool) -> Check:
    """Return the check of a group.

    A member that only the server knows wins, then a decisive one, then an unknown one.
    """

    def joined(properties: Mapping[str, Any], subject: Subject) -> Answer:
        decided: bool | None = None
        reason = None
        for check in checks:
            answer = check(properties, subject)
            if isinstance(answer, Unknown):
                if answer.ends:
                    return answer
                reason = graver(reason, answer.reason)
            elif answer is not all_of:
                decided = answer
        if decided is not None:
            return decided
        return all_of if reason is None else Unknown(reason)

    return joined
