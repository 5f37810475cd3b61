"""Ruleset: one set of definitions, as the server sends them, and the evaluation of its flags.

A flag is compiled when it is first evaluated, into conditions of checks; after that an evaluation
costs one or two hashes. A ruleset is immutable: new definitions make a new one, and a caller that
holds the old one finishes with it.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from hogline.flags.evaluation.bucketing import Variants, fraction, held_out, share
from hogline.flags.evaluation.filters import Filters, Finding, matches_all
from hogline.flags.evaluation.operators import Check
from hogline.flags.evaluation.subject import Subject
from hogline.flags.evaluation.verdict import (
    DEPENDENCY,
    MISSING,
    SERVER_DEPENDENCY,
    Answer,
    FlagValue,
    UnresolvedFlagReason,
    Verdict,
    graver,
)

__all__ = ["Flag", "Ruleset"]

_R = UnresolvedFlagReason
_INHERITED: Final = object()  # for a condition about the same person or group as its flag
_NONE: Final[frozenset[FlagValue]] = frozenset()
_FALSE: Final[frozenset[FlagValue]] = frozenset((False,))
_DISABLED: Final = Verdict(False, "flag_disabled")
_NO_GROUP: Final = Verdict(False, "no_group_type")
_NO_MATCH: Final = Verdict(False, "no_condition_match")
_UNRESOLVED: Final = {reason: Verdict(None, reason.value, None, reason) for reason in _R}
_ENDED: Final = {reason: Verdict(None, reason.value, None, reason, ends=True) for reason in _R}


class _Condition:
    """One condition set: checks that must all hold, then a rollout to a share of those who pass."""

    __slots__ = ("about", "checks", "index", "limit", "matched", "out_of_bound", "variant")

    def __init__(
        self, index: int, checks: list[Check], limit: float | None, about: object, variant: str | None
    ) -> None:
        self.index = index
        self.checks = checks
        self.limit = limit
        self.about = about
        self.variant = variant
        self.matched = Verdict(variant if variant is not None else True, "condition_match", index)
        self.out_of_bound = Verdict(False, "out_of_rollout_bound", index)


class Flag:
    """One definition, compiled."""

    __slots__ = (
        "_conditions", "_early_exit", "_enrollment", "_group", "_holdout", "_mapping", "_needs_device", "_payloads", "_prefix",
        "_unsupported", "_variants", "active", "continuity", "definition", "key",
    )  # fmt: skip

    def __init__(self, definition: Mapping[str, Any], filters: Filters, mapping: Mapping[str, str]) -> None:
        self.definition: Mapping[str, Any] = definition
        self.key: str = definition["key"]
        self.active: bool = bool(definition.get("active"))
        self.continuity: bool = bool(definition.get("ensure_experience_continuity"))
        self._prefix = f"{self.key}."
        self._mapping = mapping
        inner = definition.get("filters") or {}
        bucketing = definition.get("bucketing_identifier") or inner.get("bucketing_identifier")
        self._needs_device = bucketing == "device_id"
        self._group = inner.get("aggregation_group_type_index")
        self._enrollment = inner.get("feature_enrollment") is True
        self._holdout = inner.get("holdout")
        payloads = inner.get("payloads")
        self._payloads: Mapping[str, Any] = payloads if isinstance(payloads, Mapping) else {}
        self._early_exit = bool(inner.get("early_exit"))
        self._variants = Variants((inner.get("multivariate") or {}).get("variants") or [])
        self._unsupported = False
        self._conditions = [
            self._condition(index, condition, filters) for index, condition in enumerate(inner.get("groups") or [])
        ]

    def _condition(self, index: int, condition: Mapping[str, Any], filters: Filters) -> _Condition:
        made = [filters.check(filter_) for filter_ in condition.get("properties") or []]
        self._unsupported = self._unsupported or any(broken for _, broken in made)
        percentage = condition.get("rollout_percentage")
        about = condition.get("aggregation_group_type_index", self._group)
        variant = condition.get("variant")
        return _Condition(
            index,
            [check for check, _ in made],
            None if percentage is None else share(percentage),
            _INHERITED if about == self._group else about,
            variant if variant in self._variants.keys else None,
        )

    def verdict(self, subject: Subject) -> Verdict:
        """Return the flag's value for *subject*.

        Source: docs/internals/flags-protocol.md#evaluation-order.
        """
        if not self.active:
            return _DISABLED
        if self.continuity and not subject.complete:
            return _UNRESOLVED[_R.EXPERIENCE_CONTINUITY]
        if self._group is not None:
            name = self._mapping.get(str(self._group))
            if not name:
                # The server knows all types, so nobody acts for a group of one that no event has named.
                return _NO_GROUP if subject.complete else _UNRESOLVED[_R.UNSUPPORTED_DEFINITION]
            if name not in subject.groups:
                return _NO_GROUP
            properties = subject.properties_of(name)
            if properties is None:
                return _UNRESOLVED[_R.MISSING_CONTEXT]
            identifier = subject.groups[name]
        else:
            properties = subject.person_properties
            identifier = subject.distinct_id
            if self.continuity:
                identifier = subject.hash_keys.get(self.key, identifier)
            if self._needs_device:
                if not subject.device_id:
                    if subject.complete:
                        return _NO_MATCH
                    return _UNRESOLVED[_R.UNSUPPORTED_DEFINITION if self._unsupported else _R.MISSING_CONTEXT]
                identifier = subject.device_id
        if self._enrollment and (enrolled := self._enrolled(properties, subject)) is not None:
            return enrolled
        if self._holdout and (held := held_out(self._holdout, identifier)) is not None:
            return Verdict(held, "holdout_condition_value")
        return self._first_match(properties, identifier, subject)

    def _enrolled(self, properties: Mapping[str, Any], subject: Subject) -> Verdict | None:
        """Evaluate early access: the person's own choice decides.

        The result is None if it is certain that they made none; then the conditions decide.
        """
        if self._group is not None:
            return _UNRESOLVED[_R.UNSUPPORTED_DEFINITION]
        name = f"$feature_enrollment/{self.key}"
        if name not in properties:
            return None if subject.complete else _UNRESOLVED[_R.MISSING_CONTEXT]
        choice = properties.get(name)
        return Verdict(choice is True or choice == "true", "super_condition_value")

    def _first_match(self, flag_properties: Mapping[str, Any], flag_identifier: str, subject: Subject) -> Verdict:
        unmatched = _NO_MATCH
        reason: UnresolvedFlagReason | None = None
        # The values that earlier conditions with unknown checks may give.
        possible: frozenset[FlagValue] = _NONE
        for condition in self._conditions:
            properties, identifier = flag_properties, flag_identifier
            answer: Answer = True
            if condition.about is not _INHERITED:
                answer, properties, identifier = self._about(condition.about, subject)
            if answer is True and (checks := condition.checks):
                only = len(checks) == 1
                answer = checks[0](properties, subject) if only else matches_all(checks, properties, subject)
            if answer is True:
                if condition.limit is None or fraction(self._prefix + identifier) <= condition.limit:
                    matched = self._matched(condition, identifier)
                    # Certain only if every earlier condition that is unknown would give the same
                    # value.
                    return matched if reason is None or possible <= {matched.value} else _UNRESOLVED[reason]
                if unmatched is _NO_MATCH:
                    unmatched = condition.out_of_bound
                if self._early_exit:
                    break
            elif answer is not False:
                reason = graver(reason, answer.reason)
                if answer.ends:
                    # No further condition is read, so an unsupported part of the definition counts
                    # as the reason, too.
                    return _ENDED[_R.UNSUPPORTED_DEFINITION if self._unsupported else answer.reason]
                possible |= self._values_if_met(condition, identifier)
        return unmatched if reason is None else _UNRESOLVED[reason]

    def _values_if_met(self, condition: _Condition, identifier: str) -> frozenset[FlagValue]:
        """Return the value that *condition*, whose checks are unknown, gives if they hold.

        Returns nothing if the condition then has no effect.
        """
        if condition.limit is None or fraction(self._prefix + identifier) <= condition.limit:
            value = self._matched(condition, identifier).value
            return _NONE if value is None else frozenset((value,))
        return _FALSE if self._early_exit else _NONE

    def _about(self, group: object, subject: Subject) -> tuple[Answer, Mapping[str, Any], str]:
        """Return the properties and the identifier that a condition is about.

        The condition is about another group than its flag, or about the person.
        """
        if group is None:
            return True, subject.person_properties, subject.distinct_id
        name = self._mapping.get(str(group))
        if not name or name not in subject.groups:
            return False, {}, ""
        properties = subject.properties_of(name)
        if properties is None:
            return MISSING, {}, subject.groups[name]
        return True, properties, subject.groups[name]

    def _matched(self, condition: _Condition, identifier: str) -> Verdict:
        if condition.variant is None and self._variants.keys:
            variant = self._variants.pick(self.key, identifier)
            if variant is not None:
                return Verdict(variant, "condition_match", condition.index)
        return condition.matched

    def payload_text(self, value: FlagValue) -> Any:
        """Return the payload of *value* as it stands in the definition: JSON text, or None."""
        return self._payloads.get(value if isinstance(value, str) else str(value).lower()) if self._payloads else None

    def payload(self, value: FlagValue) -> Any:
        """Return the payload of *value*, decoded; None if there is none, or it is no JSON."""
        text = self.payload_text(value)
        if not isinstance(text, str):
            return text
        try:
            return orjson.loads(text)
        except ValueError:
            return None


class Ruleset:
    """The answer of `/flags/definitions`, ready for evaluation.

    Thread-safe: only its cache of compiled flags changes.

    A field that is null counts as missing.
    Source: docs/internals/flags-protocol.md#local-definitions.
    """

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions: dict[str, Mapping[str, Any]] = {
            flag["key"]: flag
            for flag in definitions.get("flags") or []
            if isinstance(flag, Mapping) and isinstance(flag.get("key"), str)
        }
        self.minimal_flag_called_events: bool = definitions.get("minimal_flag_called_events") is True
        self._source = definitions
        version = definitions.get("property_matching_version")
        self._mapping: Mapping[str, str] = definitions.get("group_type_mapping") or {}
        cohorts = definitions.get("cohorts") or {}
        self._filters = Filters(
            cohorts, version if isinstance(version, int) else 1, self._find, self.definitions.__contains__
        )
        self._compiled: dict[str, Flag | None] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.definitions

    def with_definition(self, definition: Mapping[str, Any]) -> "Ruleset":
        """Return a ruleset in which *definition* replaces the one of the same key."""
        return Ruleset({**self._source, "flags": [*({**self.definitions, definition["key"]: definition}).values()]})

    def flag(self, key: str) -> Flag | None:
        """Return flag *key*, compiled; None: there is none, or its definition is malformed."""
        try:
            return self._compiled[key]
        except KeyError:
            pass
        definition = self.definitions.get(key)
        if definition is None:
            return None
        try:
            flag: Flag | None = Flag(definition, self._filters.for_one_flag(), self._mapping)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            flag = None
        self._compiled[key] = flag
        return flag

    def verdict(self, key: str, subject: Subject) -> Verdict | None:
        """Return the value of flag *key* for *subject*; None: it is not defined.

        No definition makes this raise.
        """
        return self.evaluate(key, subject)[1]

    def evaluate(self, key: str, subject: Subject) -> tuple[Flag | None, Verdict | None]:
        """Return the flag and its verdict."""
        flag = self.flag(key)
        if flag is None:
            return None, _UNRESOLVED[_R.UNSUPPORTED_DEFINITION] if key in self.definitions else None
        try:
            return flag, flag.verdict(subject)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            return flag, _UNRESOLVED[_R.UNSUPPORTED_DEFINITION]

    def _find(self, key: str, subject: Subject) -> Finding:
        """Return the value of a flag that another depends on, evaluated once for each subject."""
        found = subject.found
        if found is None:
            found = subject.found = {}
        if key not in found:
            # Until the flag is evaluated, a flag that depends on itself finds this.
            found[key] = SERVER_DEPENDENCY
            found[key] = self._finding(key, subject)
        finding: Finding = found[key]
        return finding

    def _finding(self, key: str, subject: Subject) -> Finding:
        verdict = self.verdict(key, subject)
        if verdict is None or verdict.value is None:
            return SERVER_DEPENDENCY if verdict is not None and verdict.ends else DEPENDENCY
        return verdict.value
