"""Evaluate the flags of a request, and the answers in the shapes of each protocol version.

Source: docs/internals/flags-protocol.md#flags-response.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from hogline.flags.evaluation import FlagValue, Subject, Verdict
from hogline_instance.flags.flag_set import FlagSet, ServedFlag
from hogline_instance.flags.neighbours import StoredPeople
from hogline_instance.flags.request import FlagsRequest

__all__ = ["Answer", "answers", "describe", "is_wanted", "legacy_flags", "subject_of", "v2_flags"]

_SURVEY_PREFIX = "survey-targeting-"
_MISSING = Verdict(False, "missing_dependency")
_TEXTS = {"missing_dependency": "A flag that this one depends on is missing or deleted"}


class Answer(NamedTuple):
    """One flag's value for the request's person; *value* is None when it failed.

    A request makes one for each flag, and a named tuple takes a third of a frozen dataclass's time.
    """

    flag: ServedFlag
    value: FlagValue | None
    code: str
    condition_index: int | None
    description: str
    payload: str | None


def subject_of(flags: FlagSet, request: FlagsRequest, stored: StoredPeople, hash_keys: Mapping[str, str]) -> Subject:
    """Return whom the flags are evaluated for: what is stored, overlaid by what the request says."""
    uuid = stored.uuids.get(request.distinct_id) or stored.uuids.get(request.anon_distinct_id) or ""
    person: dict[str, Any] = {
        **stored.properties.get(uuid, {}), **request.person_properties, "distinct_id": request.distinct_id,
    }  # fmt: skip
    for name in flags.initial_names:
        current = name.removeprefix("$initial_")
        if name not in person and (found := person.get(f"${current}", person.get(current))) is not None:
            person[name] = found
    # Last, so that no request can say which cohorts its person is in.
    person.update(flags.cohorts.membership(stored.cohorts.get(uuid, frozenset())))
    groups = {
        name: {"$group_key": key, **stored.groups.get((name, key), {}), **request.group_properties.get(name, {})}
        for name, key in request.groups.items()
    }
    return Subject(
        request.distinct_id,
        person_properties=person,
        groups=request.groups,
        group_properties=groups,
        device_id=request.device_id or None,
        complete=True,
        hash_keys=hash_keys,
    )


def is_wanted(flag: ServedFlag, request: FlagsRequest) -> bool:
    """Return whether the request asks for *flag* and may see it."""
    if request.keys is not None and flag.key not in request.keys:
        return False
    if flag.runtime not in {"all", request.runtime}:
        return False
    if flag.contexts and flag.contexts.isdisjoint(request.contexts):
        return False
    return not request.only_surveys or flag.key.startswith(_SURVEY_PREFIX)


def answers(flags: FlagSet, request: FlagsRequest, subject: Subject) -> list[Answer]:
    """Return the answer of each flag that the request asks for."""
    if request.is_disabled:
        return []
    return [describe(flags, flag, subject) for flag in flags.flags if is_wanted(flag, request)]


def describe(flags: FlagSet, flag: ServedFlag, subject: Subject) -> Answer:
    """Return the answer of one flag for *subject*."""
    compiled, verdict = flags.ruleset.evaluate(flag.key, subject)
    if flag.key in flags.missing:
        verdict = _MISSING
    if verdict is None or verdict.value is None:
        code = verdict.code if verdict is not None else "unknown_error"
        return Answer(flag, None, code, None, "The flag could not be evaluated", None)
    index = verdict.condition_index
    if index is None and verdict.code == "no_condition_match" and flag.condition_count:
        index = flag.condition_count - 1
    payload = None
    if compiled is not None and verdict.value is not False and not flag.is_encrypted:
        payload = compiled.payload_text(verdict.value)
    text = _TEXTS.get(verdict.code) or verdict.description
    return Answer(flag, verdict.value, verdict.code, index, text, payload)


def v2_flags(found: list[Answer]) -> dict[str, Any]:
    """Return the `flags` of version 2."""
    return {answer.flag.key: _record(answer) for answer in found}


def legacy_flags(found: list[Answer]) -> tuple[dict[str, FlagValue], dict[str, str]]:
    """Return `featureFlags` and `featureFlagPayloads`; a flag that failed is left out."""
    values = {answer.flag.key: answer.value for answer in found if answer.value is not None}
    return values, {answer.flag.key: answer.payload for answer in found if answer.payload is not None}


def _record(answer: Answer) -> dict[str, Any]:
    record: dict[str, Any] = {
        "key": answer.flag.key,
        "enabled": bool(answer.value),
        "variant": answer.value if isinstance(answer.value, str) else None,
        "reason": {
            "code": answer.code, "condition_index": answer.condition_index, "description": answer.description,
        },
        "metadata": {
            "id": answer.flag.id, "version": answer.flag.version, "description": answer.flag.name or None,
            "payload": answer.payload, "has_experiment": False,
        },
    }  # fmt: skip
    if answer.value is None:
        record["failed"] = True
    return record
