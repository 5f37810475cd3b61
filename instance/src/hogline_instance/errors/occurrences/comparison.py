"""The properties that the occurrences of an issue have in common, and other traffic has not.

Pure. The measure of a value is the difference between two shares, each moved towards the other by
its 95 % confidence limit: the lower limit among occurrences minus the upper limit among other
events. So few events weigh little, and what is equally frequent everywhere has no place.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MIN_OCCURRENCES", "MIN_OTHERS", "Common", "Seen", "in_common", "json_text"]

MIN_OCCURRENCES, MIN_PEOPLE, MIN_OTHERS = 5, 3, 20
_Z = 1.96
_MAX_SHOWN = 12
_LABELS = {
    "$release": "release", "$release_version": "release", "$app_version": "app version", "$request_route": "route",
    "$pathname": "path", "$browser": "browser", "$browser_version": "browser version", "$os": "OS",
    "$device_type": "device", "$geoip_country_code": "country", "$geoip_country_name": "country", "plan": "plan",
    "$lib": "library", "$lib_version": "library version", "$environment": "environment", "$request_method": "method",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """Counts of values: of all events, of those that carry a property, and of each value.

    A value's count comes with the number of people who had it.
    """

    total: int
    carrying: Mapping[str, int]
    values: Mapping[tuple[str, str], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Common:
    """A value that stands out, with its share among occurrences and among other events."""

    label: str
    value: str
    share: float
    usual: float
    occurrences: int
    measure: float
    is_flag: bool


def in_common(occurrences: Seen, others: Seen) -> list[Common]:
    """Return the values that stand out, flags first, each part by its measure.

    A value needs MIN_OCCURRENCES occurrences of MIN_PEOPLE people, and MIN_OTHERS other events that
    carry its property; of few people the reverse of a coincidence cannot be told.
    """
    found = []
    for (name, raw), (count, people) in occurrences.values.items():
        carrying = others.carrying.get(name, 0)
        if count < MIN_OCCURRENCES or people < MIN_PEOPLE or carrying < MIN_OTHERS:
            continue
        usual = others.values.get((name, raw), (0, 0))[0]
        measure = _limits(count, occurrences.total)[0] - _limits(usual, carrying)[1]
        if measure > 0:
            is_flag = name.startswith("$feature/")
            label = name.removeprefix("$feature/") if is_flag else _LABELS.get(name, name)
            found.append(
                Common(label, json_text(raw), count / occurrences.total, usual / carrying, count, measure, is_flag)
            )
    found.sort(key=lambda each: (not each.is_flag, -each.measure, each.label))
    return found[:_MAX_SHOWN]


def _limits(count: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % limits of a share."""
    if total <= 0:
        return 0.0, 1.0
    share, square = min(count / total, 1.0), _Z * _Z / total
    middle = (share + square / 2) / (1 + square)
    reach = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def json_text(raw: str) -> str:
    """Return a value of JSON as people read it."""
    try:
        value = json.loads(raw)
    except ValueError:
        return raw[:200]
    return (value if isinstance(value, str) else raw)[:200]
