"""The editor's form: a flag's fields as form fields, and back.

The form works without JavaScript: it has numbered fields, one empty row in each list, and buttons
that send it back with another condition set or variant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = ["ConditionForm", "FilterForm", "FlagForm", "VariantForm", "form_of", "read_flag_form"]

_MAX_ROWS = 100
_WITHOUT_VALUE = ("is_set", "is_not_set")


@dataclass(frozen=True, slots=True)
class FilterForm:
    """One filter as the form has it, all of it text."""

    kind: str = "property"
    key: str = ""
    operator: str = "exact"
    value: str = ""


@dataclass(frozen=True, slots=True)
class ConditionForm:
    """One condition set."""

    filters: tuple[FilterForm, ...] = ()
    rollout: str = "100"
    variant: str = ""
    about: str = ""
    """The index of a group type, or '' for people."""


@dataclass(frozen=True, slots=True)
class VariantForm:
    """One variant."""

    key: str = ""
    rollout: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True)
class FlagForm:
    """A flag as the form has it."""

    key: str = ""
    name: str = ""
    active: bool = True
    continuity: bool = False
    runtime: str = "all"
    payload: str = ""
    conditions: tuple[ConditionForm, ...] = (ConditionForm(),)
    variants: tuple[VariantForm, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)
    """The parts of the filters that the form does not show."""

    def body(self) -> dict[str, Any]:
        """Return the form as a body of the API, which checks it."""
        variants = [
            {"key": each.key, "name": "", "rollout_percentage": _number(each.rollout)} for each in self.variants
        ]
        payloads = {each.key: each.payload for each in self.variants if each.payload.strip()}
        if not variants and self.payload.strip():
            payloads = {"true": self.payload}
        return {
            "key": self.key, "name": self.name, "active": self.active, "evaluation_runtime": self.runtime,
            "ensure_experience_continuity": self.continuity,
            "filters": {
                **self.kept, "groups": [_group(each) for each in self.conditions],
                "multivariate": {"variants": variants} if variants else None, "payloads": payloads,
            },
        }  # fmt: skip


def form_of(fields: Mapping[str, Any]) -> FlagForm:
    """Return the form that shows a flag's fields."""
    filters = fields.get("filters") or {}
    payloads = filters.get("payloads") or {}
    variants = (filters.get("multivariate") or {}).get("variants") or []
    return FlagForm(
        key=fields["key"],
        name=fields["name"],
        active=fields["active"],
        continuity=fields["ensure_experience_continuity"],
        runtime=fields["evaluation_runtime"],
        payload=payloads.get("true", ""),
        conditions=tuple(_condition(each) for each in filters.get("groups") or []),
        variants=tuple(
            VariantForm(each["key"], f"{each['rollout_percentage']:g}", payloads.get(each["key"], ""))
            for each in variants
        ),
        kept={name: filters[name] for name in ("early_exit", "holdout", "feature_enrollment") if name in filters},
    )


def read_flag_form(fields: Mapping[str, Sequence[str]], kept: Mapping[str, Any]) -> FlagForm:
    """Return the form that was sent. Rows without a name are passed over."""

    def text(name: str, default: str = "") -> str:
        return fields.get(name, [default])[-1].strip()

    conditions = []
    for index in range(_MAX_ROWS):
        if f"c{index}_rollout" not in fields or text("remove") == f"c{index}":
            continue
        filters = [
            FilterForm(
                text(f"c{index}_f{row}_kind", "property"), text(f"c{index}_f{row}_key"), text(f"c{index}_f{row}_operator", "exact"),
                text(f"c{index}_f{row}_value"),
            )
            for row in range(_MAX_ROWS)
            if text(f"c{index}_f{row}_key") or (text(f"c{index}_f{row}_kind") == "cohort" and text(f"c{index}_f{row}_value"))
        ]  # fmt: skip
        conditions.append(
            ConditionForm(tuple(filters), text(f"c{index}_rollout"), text(f"c{index}_variant"), text(f"c{index}_about"))
        )
    variants = [
        VariantForm(text(f"v{row}_key"), text(f"v{row}_rollout"), text(f"v{row}_payload"))
        for row in range(_MAX_ROWS)
        if text(f"v{row}_key")
    ]
    if text("add") == "condition":
        conditions.append(ConditionForm())
    return FlagForm(
        text("key"), text("name"), "active" in fields, "continuity" in fields, text("runtime", "all"), text("payload"),
        tuple(conditions), tuple(variants), kept,
    )  # fmt: skip


def _condition(group: Mapping[str, Any]) -> ConditionForm:
    rollout, about = group.get("rollout_percentage"), group.get("aggregation_group_type_index")
    return ConditionForm(
        tuple(_filter(each) for each in group.get("properties") or []),
        "" if rollout is None else f"{rollout:g}",
        group.get("variant") or "",
        "" if about is None else str(about),
    )


def _filter(filter_: Mapping[str, Any]) -> FilterForm:
    kind = str(filter_.get("type"))
    value = filter_.get("value")
    shown = value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()
    return FilterForm(
        kind if kind in ("cohort", "flag") else "property", str(filter_.get("key", "")), str(filter_.get("operator") or "exact"), shown
    )  # fmt: skip


def _group(condition: ConditionForm) -> dict[str, Any]:
    about = int(condition.about) if condition.about.isdigit() else None
    return {
        "properties": [_property(each, about) for each in condition.filters],
        "rollout_percentage": _number(condition.rollout) if condition.rollout else None,
        "variant": condition.variant or None,
        "aggregation_group_type_index": about,
    }


def _property(filter_: FilterForm, about: int | None) -> dict[str, Any]:
    if filter_.kind == "cohort":
        operator = "not_in" if filter_.operator in ("not_in", "is_not") else "in"
        return {"type": "cohort", "key": "id", "operator": operator, "value": _number(filter_.value)}
    if filter_.kind == "flag":
        value: Any = {"true": True, "false": False, "": True}.get(filter_.value, filter_.value)
        return {"type": "flag", "key": filter_.key, "operator": "flag_evaluates_to", "value": value}
    made: dict[str, Any] = {
        "type": "person" if about is None else "group", "key": filter_.key, "operator": filter_.operator, "value": filter_.value,
    }  # fmt: skip
    if about is not None:
        made["group_type_index"] = about
    if filter_.operator in _WITHOUT_VALUE:
        made["value"] = filter_.operator
    elif filter_.value.startswith("[") and filter_.operator in (
        "exact",
        "is_not",
        "icontains_multi",
        "not_icontains_multi",
    ):
        made["value"] = _list(filter_.value)
    return made


def _list(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _number(text: str) -> Any:
    """Return a number, or the text itself: the check of the flag then names it."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number
