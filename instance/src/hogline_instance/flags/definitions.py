"""Definitions of flags in the form that SDKs evaluate, from the form that is stored.

Stored filters name other flags by their id, so that a flag can be renamed; SDKs look them up by key,
along a chain that lists what must be evaluated first. Source:
docs/internals/flags-protocol.md#local-definitions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hogline_instance.flags.known import dependencies
from hogline_instance.flags.tables import FlagRow

__all__ = ["definition_of", "missing_dependencies"]


def definition_of(row: FlagRow, by_id: Mapping[int, FlagRow]) -> dict[str, Any]:
    """Return the definition of a flag; *by_id* holds the flags that it may depend on."""
    filters = dict(row.filters or {})
    filters["groups"] = [
        {**group, "properties": [_filter(each, by_id) for each in group.get("properties") or []]}
        for group in filters.get("groups") or []
    ]
    if row.has_encrypted_payloads:
        filters["payloads"] = {}
    return {
        "id": row.id,
        "team_id": row.team_id,
        "name": row.name,
        "key": row.key,
        "filters": filters,
        "deleted": False,
        "active": row.active,
        "ensure_experience_continuity": row.ensure_experience_continuity,
        "version": row.version,
        "has_experiment": False,
        "bucketing_identifier": row.bucketing_identifier,
        "evaluation_runtime": row.evaluation_runtime,
        "evaluation_contexts": row.evaluation_contexts or [],
        "evaluation_tags": row.evaluation_contexts or [],
    }


def missing_dependencies(rows: Sequence[FlagRow]) -> frozenset[str]:
    """Return the keys of the flags that depend on one that is gone, directly or through others."""
    by_id = {row.id: row for row in rows}
    missing = {row.id for row in rows if any(each not in by_id for each in dependencies(row.filters or {}))}
    while True:
        further = {
            row.id for row in rows if row.id not in missing and not missing.isdisjoint(dependencies(row.filters or {}))
        }
        if not further:
            return frozenset(by_id[each].key for each in missing)
        missing |= further


def _filter(filter_: Mapping[str, Any], by_id: Mapping[int, FlagRow]) -> dict[str, Any]:
    if filter_.get("type") != "flag":
        return dict(filter_)
    target = by_id.get(int(str(filter_["key"])))
    if target is None:
        return {**filter_, "key": str(filter_["key"])}
    chain: list[str] = []
    _collect(target, by_id, chain, set())
    return {**filter_, "key": target.key, "dependency_chain": chain}


def _collect(row: FlagRow, by_id: Mapping[int, FlagRow], chain: list[str], seen: set[int]) -> None:
    """Append the keys of what *row* depends on, then its own."""
    if row.id in seen:
        return
    seen.add(row.id)
    for number in dependencies(row.filters or {}):
        if number in by_id:
            _collect(by_id[number], by_id, chain, seen)
    chain.append(row.key)
