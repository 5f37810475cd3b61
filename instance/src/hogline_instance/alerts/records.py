"""The JSON of alerts and deliveries in the API."""

from typing import Any
from urllib.parse import urlsplit

from hogline_instance.alerts.listing import State
from hogline_instance.alerts.tables import AlertRow, DeliveryRow
from hogline_instance.db import aware
from hogline_instance.people import iso

__all__ = ["alert_json", "delivery_json", "shown_url"]


def shown_url(url: str) -> str:
    """Return *url* without its path, which is often a secret (Slack's is); '' stays ''."""
    if not url:
        return ""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/\N{HORIZONTAL ELLIPSIS}"


def alert_json(row: AlertRow, state: State, *, secret: str | None = None) -> dict[str, Any]:
    """Return the record of an alert. Only the answers that made its secret hold it."""
    record = {
        "id": row.id,
        "name": row.name,
        "kind": row.kind,
        "url": shown_url(row.url) or None,
        "addresses": row.addresses,
        "triggers": row.triggers,
        "filters": row.filters,
        "enabled": row.enabled,
        "digest_after": row.digest_after,
        "digest_minutes": row.digest_minutes,
        "waiting": state.waiting,
        "last_sent_at": iso(state.last_sent_at),
        "created_at": iso(aware(row.created_at)),
    }
    return record | ({"secret": secret} if secret else {})


def delivery_json(row: DeliveryRow) -> dict[str, Any]:
    """Return the record of a delivery."""
    return {
        "id": row.id,
        "alert_id": row.alert_id,
        "kind": row.kind,
        "issue_id": row.issue_id or None,
        "issue_name": row.detail.get("name"),
        "status": row.status,
        "message_id": row.message_id,
        "attempts": row.attempts,
        "answer": row.answer or None,
        "created_at": iso(aware(row.created_at)),
        "next_attempt_at": iso(aware(row.next_attempt_at)) if row.status == "waiting" else None,
        "finished_at": iso(aware(row.finished_at)) if row.finished_at is not None else None,
    }
