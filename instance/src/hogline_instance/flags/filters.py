"""Check the filters of a flag, and return them in the form that is stored.

A filter that the evaluation cannot decide is refused here, with PostHog's code and a sentence that
says what to do. Source: docs/internals/management-api.md#flag-validation.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from hogline.flags.evaluation.operators import OPERATORS
from hogline.flags.evaluation.regexes import Deferred, read
from hogline_instance.flags.known import Known
from hogline_instance.web.errors import ApiError, invalid_field

__all__ = ["checked_filters"]

_FILTER_KEYS = (
    "groups", "multivariate", "payloads", "aggregation_group_type_index", "feature_enrollment", "holdout", "early_exit",
)  # fmt: skip
_RENAMED = {"min": "gte", "max": "lte"}
_ELSEWHERE = frozenset({"between", "not_between", "is_cleaned_path_exact", "in_path", "not_in_path"})
_TEXT_VALUES = ("icontains", "not_icontains", "starts_with", "not_starts_with", "ends_with", "not_ends_with", "regex", "not_regex", "gt", "gte", "lt", "lte")  # fmt: skip
_VARIANT_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,400}")
_MAX_PROPERTIES = 200
_MAX_GROUPS = 200


def checked_filters(filters: Any, known: Known, *, flag_id: int | None) -> dict[str, Any]:
    """Return *filters* ready to be stored. Raises ApiError: the evaluation cannot use them."""
    if not isinstance(filters, Mapping):
        raise _refused('filters must be an object such as {"groups": [{"properties": [], "rollout_percentage": 50}]}.')
    made: dict[str, Any] = {name: filters[name] for name in _FILTER_KEYS if filters.get(name) is not None}
    variants = _variants(made.get("multivariate"))
    shared = _group_index(filters.get("aggregation_group_type_index"), "aggregation_group_type_index")
    groups = made.get("groups", [])
    if not isinstance(groups, list) or len(groups) > _MAX_GROUPS:
        raise _refused(f"filters.groups must be a list of at most {_MAX_GROUPS} condition sets.")
    made["groups"] = [
        _condition(group, f"groups[{index}]", shared, variants, known, flag_id) for index, group in enumerate(groups)
    ]
    indexes = {group["aggregation_group_type_index"] for group in made["groups"]} or {shared}
    made["aggregation_group_type_index"] = indexes.pop() if len(indexes) == 1 else None
    if variants:
        made["multivariate"] = {"variants": variants}
    else:
        made.pop("multivariate", None)
    made["payloads"] = _payloads(filters.get("payloads"), {variant["key"] for variant in variants})
    if "holdout" in made:
        _check_holdout(made["holdout"])
    for name in ("feature_enrollment", "early_exit"):
        if name in made and not isinstance(made[name], bool):
            raise _refused(f"filters.{name} must be true or false.")
    return made


def _condition(
    group: Any, path: str, shared: int | None, variants: list[dict[str, Any]], known: Known, flag_id: int | None
) -> dict[str, Any]:
    if not isinstance(group, Mapping):
        raise _refused(f"filters.{path} must be an object with properties and rollout_percentage.")
    index = _group_index(group.get("aggregation_group_type_index", shared), f"{path}.aggregation_group_type_index")
    percentage = group.get("rollout_percentage")
    if percentage is not None:
        _check_percentage(percentage, f"filters.{path}.rollout_percentage")
    variant = group.get("variant")
    if variant is not None and variant not in {each["key"] for each in variants}:
        raise _refused(f"The variant override {variant!r} of condition set {path} does not exist among the variants.")
    properties = group.get("properties") or []
    if not isinstance(properties, list) or len(properties) > _MAX_PROPERTIES:
        raise _refused(f"filters.{path}.properties must be a list of at most {_MAX_PROPERTIES} filters.")
    made = {
        "properties": [
            _filter(each, f"{path}.properties[{number}]", index, known, flag_id)
            for number, each in enumerate(properties)
        ],
        "rollout_percentage": percentage,
        "variant": variant,
        "aggregation_group_type_index": index,
    }
    if isinstance(group.get("description"), str):
        made["description"] = group["description"][:1_000]
    return made


def _filter(filter_: Any, path: str, index: int | None, known: Known, flag_id: int | None) -> dict[str, Any]:
    if not isinstance(filter_, Mapping):
        raise _refused(f"filters.{path} must be an object with key, value, operator and type.")
    kind = filter_.get("type") or "person"
    made = {**filter_, "type": kind}
    made.pop("dependency_chain", None)
    if kind == "flag":
        _check_dependency(made, known, flag_id)
    elif kind == "cohort":
        _check_cohort(made, known, index)
    elif kind in ("person", "group"):
        made["operator"] = _RENAMED.get(str(made.get("operator")), made.get("operator") or "exact")
        _check_subject(made, kind, path, index)
        _check_property(made, path)
    else:
        raise _refused(f"filters.{path}.type {kind!r} cannot be evaluated; use person, group, cohort or flag.")
    return made


def _check_subject(filter_: Mapping[str, Any], kind: str, path: str, index: int | None) -> None:
    if kind == "person" and index is not None:
        raise _refused(f"filters.{path} is about a person, but its condition set is about a group: use type 'group'.")
    if kind == "group" and index is None:
        raise _refused(f"filters.{path} is about a group, but its condition set is about people: use type 'person'.")
    if kind == "group" and filter_.get("group_type_index") not in (None, index):
        raise _refused(
            f"filters.{path} is about group type {filter_.get('group_type_index')}, its condition set about {index}."
        )


def _check_property(filter_: Mapping[str, Any], path: str) -> None:
    key, operator, value = filter_.get("key"), filter_["operator"], filter_.get("value")
    if not isinstance(key, str) or not key:
        raise _refused(f"filters.{path}.key must be the name of a property.")
    if operator in ("in", "not_in"):
        raise _refused(f"The operator {operator!r} is for cohorts only; use 'exact' with a list.", "invalid_operator")
    if operator in _ELSEWHERE:
        raise _refused(
            f"The operator {operator!r} is not supported in flags; use two filters with 'gte' and 'lte'.",
            "unsupported_operator",
        )
    if operator not in OPERATORS:
        raise _refused(
            f"The operator {str(operator)[:50]!r} does not exist. Use one of: {', '.join(sorted(OPERATORS))}.",
            "invalid_operator",
        )
    if operator in _TEXT_VALUES and not isinstance(value, str):
        raise _refused(
            f'The operator {operator!r} needs a text as value, got {value!r}: write numbers as "42".', "invalid_value"
        )
    if operator in ("regex", "not_regex"):
        _check_regex(str(value))
    elif OPERATORS[operator](operator, value, 1) is None:
        code = "invalid_date" if operator.startswith("is_date") else "invalid_value"
        raise _refused(
            f"The value {str(value)[:100]!r} of filters.{path} does not suit the operator {operator!r}.{_hint(operator)}",
            code,
        )


def _hint(operator: str) -> str:
    if operator.startswith("is_date"):
        return " Write a date such as 2026-01-31, or a relative one such as -7d."
    if operator.startswith("semver"):
        return " Write a version such as 1.2.3."
    return " Write a list of texts." if operator.endswith("_multi") else ""


def _check_regex(pattern: str) -> None:
    try:
        compiled = read(pattern)
    except Deferred:
        raise _refused(
            f"The pattern {pattern[:100]!r} uses syntax that SDKs and this server may read differently (look-around, word"
            " boundaries, nested quantifiers); write it without.", "invalid_value",
        ) from None  # fmt: skip
    if compiled is None and pattern:
        raise _refused(
            f"The pattern {pattern[:100]!r} is not a regular expression: check its brackets and quantifiers.",
            "invalid_value",
        )


def _check_dependency(filter_: dict[str, Any], known: Known, flag_id: int | None) -> None:
    if filter_.get("operator") != "flag_evaluates_to":
        raise _refused("A filter of type 'flag' needs the operator 'flag_evaluates_to'.")
    text = str(filter_.get("key"))
    target = known.flags.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else None
    if target is None:
        raise _refused(f"A filter of type 'flag' needs the id of a flag as its key; there is no flag {text[:50]!r}.")
    if target.id == flag_id:
        raise _refused(f"The flag cannot depend on itself: {target.key} → {target.key}.")
    if not target.active:
        raise _refused(f"The flag {target.key!r} is disabled, so no other flag may depend on it; enable it first.")
    if not isinstance(filter_.get("value"), bool | str):
        raise _refused("A filter of type 'flag' needs true, false or a variant as its value.")
    if flag_id is not None and (path := known.path(target.id, flag_id)):
        raise _refused(f"The flags would depend on each other: {' → '.join([known.flags[flag_id].key, *path])}.")
    filter_["key"] = text


def _check_cohort(filter_: dict[str, Any], known: Known, index: int | None) -> None:
    if index is not None:
        raise _refused("A cohort holds people, but this condition set is about a group.")
    if filter_.get("operator") not in (None, "in", "not_in", "exact"):
        raise _refused(
            f"The operator {filter_.get('operator')!r} is not for cohorts; use 'in' or 'not_in'.", "invalid_operator"
        )
    filter_["operator"] = filter_.get("operator") or "in"
    filter_["key"] = "id"
    text = str(filter_.get("value"))
    if text not in known.cohorts:
        raise _refused(f"There is no cohort {text[:50]!r} in this project.", "cohort_does_not_exist")
    if known.is_behavioural(text):
        raise _refused(
            f"Cohort {text} depends on what people did, which flags cannot evaluate; make a static copy of it.",
            "behavioral_cohort_found",
        )


def _variants(multivariate: Any) -> list[dict[str, Any]]:
    if multivariate is None:
        return []
    variants = multivariate.get("variants") if isinstance(multivariate, Mapping) else None
    if variants is None or variants == []:
        return []
    if not isinstance(variants, list):
        raise _refused("filters.multivariate.variants must be a list of {key, rollout_percentage}.")
    made: list[dict[str, Any]] = []
    for index, variant in enumerate(variants):
        key = variant.get("key") if isinstance(variant, Mapping) else None
        if not isinstance(key, str) or not _VARIANT_KEY.fullmatch(key):
            raise _refused(
                f"filters.multivariate.variants[{index}].key must be letters, digits, hyphens, dots and underscores."
            )
        if any(key == other["key"] for other in made):
            raise _refused(f"The variant {key!r} is there twice; give every variant a key of its own.")
        _check_percentage(
            variant.get("rollout_percentage"), f"filters.multivariate.variants[{index}].rollout_percentage"
        )
        name = variant.get("name")
        made.append(
            {
                "key": key,
                "name": name if isinstance(name, str) else "",
                "rollout_percentage": variant["rollout_percentage"],
            }
        )
    total = sum(variant["rollout_percentage"] for variant in made)
    if not math.isclose(total, 100, abs_tol=1e-9):
        raise _refused(
            f"Invalid variant definitions: Variant rollout percentages must sum to 100, they sum to {total:g}."
        )
    return made


def _payloads(payloads: Any, variants: set[str]) -> dict[str, str]:
    if payloads is None:
        return {}
    if not isinstance(payloads, Mapping):
        raise _refused(
            'Payloads must be passed as a dictionary: {"true": "<JSON text>"} or {"<variant>": "<JSON text>"}.'
        )
    made: dict[str, str] = {}
    for key, value in payloads.items():
        if value is None or value == "":
            continue
        if key not in (variants or {"true"}):
            allowed = ", ".join(sorted(variants)) if variants else "true"
            raise _refused(
                f"Payload keys must match a variant, or 'true' for a boolean flag: got {str(key)[:50]!r}, expected {allowed}."
            )
        made[key] = _payload_text(key, value)
    return made


def _payload_text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        return orjson.dumps(value).decode()
    try:
        orjson.loads(value)
    except ValueError:
        raise _refused(
            f'The payload of {key!r} is not valid JSON: write texts with quotes, as in "\\"hello\\"".'
        ) from None
    return value


def _check_holdout(holdout: Any) -> None:
    if (
        not isinstance(holdout, Mapping)
        or isinstance(holdout.get("id"), bool)
        or not isinstance(holdout.get("id"), int)
    ):
        raise _refused('filters.holdout must be {"id": <number>, "exclusion_percentage": <0 to 100>}.')
    _check_percentage(holdout.get("exclusion_percentage"), "filters.holdout.exclusion_percentage")


def _check_percentage(value: Any, path: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:  # nan is in no range
        raise _refused(f"{path} must be a number between 0 and 100, got {str(value)[:50]!r}.")


def _group_index(value: Any, path: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 4:
        raise _refused(f"filters.{path} must be the index of a group type, 0 to 4, got {str(value)[:50]!r}.")
    return value


def _refused(detail: str, code: str = "invalid_input") -> ApiError:
    return invalid_field("filters", code, detail)
