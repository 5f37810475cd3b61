"""The JSON of a flag, of its history and its status, in PostHog's shapes.

Source: docs/internals/management-api.md#flag-fields.
"""

import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hogline_instance.flags.changes import moment
from hogline_instance.flags.remote_config import REDACTED
from hogline_instance.flags.tables import FlagHistoryRow, FlagRow
from hogline_instance.project import PersonalKey

__all__ = ["activity_json", "actor_of", "flag_json", "is_rolled_out", "status_of", "user_of"]

_STALE_AFTER = timedelta(days=30)
_NAMESPACE = uuid.UUID("932979b4-65c3-4424-8467-0b66ec27bc22")


def flag_json(row: FlagRow, last_call: datetime | None = None, *, features: list[Any] | None = None) -> dict[str, Any]:
    """Return the record of a flag."""
    filters = shown_filters(row)
    groups = filters.get("groups") or []
    is_simple = len(groups) == 1 and not groups[0].get("properties") and not filters.get("multivariate")
    return {
        "id": row.id, "name": row.name, "key": row.key, "filters": filters, "deleted": row.deleted, "active": row.active,
        "archived": row.archived, "created_by": user_of(row.created_by), "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at), "version": row.version, "last_modified_by": user_of(row.last_modified_by),
        "is_simple_flag": is_simple, "rollout_percentage": groups[0].get("rollout_percentage") if is_simple else None,
        "ensure_experience_continuity": row.ensure_experience_continuity, "experiment_set": [],
        "experiment_set_metadata": [], "surveys": [], "features": features or [], "rollback_conditions": [],
        "performed_rollback": False, "can_edit": True, "tags": row.tags or [],
        "evaluation_contexts": row.evaluation_contexts or [], "evaluation_tags": row.evaluation_contexts or [],
        "usage_dashboard": None, "analytics_dashboards": [], "has_enriched_analytics": False,
        "user_access_level": "manager", "is_remote_configuration": row.is_remote_configuration,
        "has_encrypted_payloads": row.has_encrypted_payloads, "status": status_of(row, last_call)[0],
        "evaluation_runtime": row.evaluation_runtime, "bucketing_identifier": row.bucketing_identifier,
        "last_called_at": moment(last_call), "is_used_in_replay_settings": False,
    }  # fmt: skip


def shown_filters(row: FlagRow) -> dict[str, Any]:
    """Return a flag's filters, with a marker instead of each encrypted payload."""
    filters = dict(row.filters or {})
    if row.has_encrypted_payloads:
        filters["payloads"] = dict.fromkeys(filters.get("payloads") or {}, REDACTED)
    return filters


def status_of(row: FlagRow, last_call: datetime | None, now: datetime | None = None) -> tuple[str, str]:
    """Return a flag's status and the reason for it."""
    if row.deleted:
        return "DELETED", "Flag has been deleted"
    if not row.active:
        return "INACTIVE", "Flag is disabled"
    current = now or datetime.now(UTC)
    created = row.created_at if row.created_at.tzinfo is not None else row.created_at.replace(tzinfo=UTC)
    if current - created < _STALE_AFTER:
        return "ACTIVE", "Flag was created within the last 30 days"
    if last_call is None or current - last_call > _STALE_AFTER:
        return "STALE", "Flag has not been called within the last 30 days"
    if is_rolled_out(row.filters or {}):
        return "STALE", "Flag gives everybody the same answer"
    return "ACTIVE", "Flag is called and decides between answers"


def is_rolled_out(filters: Mapping[str, Any]) -> bool:
    """Return whether everybody gets the same answer."""
    groups = filters.get("groups") or []
    if filters.get("feature_enrollment") or filters.get("holdout"):
        return False
    if all(group.get("rollout_percentage") == 0 for group in groups):
        return True
    first = groups[0]
    if first.get("properties") or first.get("rollout_percentage") not in (None, 100):
        return False
    variants = (filters.get("multivariate") or {}).get("variants") or []
    return (
        first.get("variant") is not None or not variants or any(each["rollout_percentage"] == 100 for each in variants)
    )


def actor_of(key: PersonalKey) -> str:
    """Return the name under which a key's changes are kept."""
    return key.label or f"personal key {key.id}"


def user_of(actor: str) -> dict[str, Any] | None:
    """Return who made a change as PostHog shows a user. Keys and pages are named by their labels."""
    if not actor:
        return None
    number = int.from_bytes(hashlib.sha256(actor.encode()).digest()[:4]) % 1_000_000_000
    return {
        "id": number, "uuid": str(uuid.uuid5(_NAMESPACE, actor)), "distinct_id": actor, "first_name": actor, "email": "",
    }  # fmt: skip


def activity_json(row: FlagHistoryRow) -> dict[str, Any]:
    """Return one entry of the history."""
    changes = row.changes
    if row.fields.get("has_encrypted_payloads"):
        changes = [each for each in changes if each["field"] != "filters"]
    return {
        "id": str(row.id), "user": {"first_name": row.actor, "email": ""} if row.actor else None,
        "activity": row.activity, "scope": "FeatureFlag", "item_id": str(row.flag_id),
        "detail": {"name": row.fields.get("key"), "changes": changes, "merge": None, "trigger": None, "short_id": None},
        "created_at": moment(row.created_at), "is_system": not row.actor, "was_impersonated": False,
    }  # fmt: skip
