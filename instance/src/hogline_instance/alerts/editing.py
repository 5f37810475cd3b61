"""Create and change alerts, and check what people enter."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hogline_instance.alerts.channels import CHANNELS, HOOKS, MAIL, WEBHOOK, new_secret
from hogline_instance.alerts.filters import TRIGGERS
from hogline_instance.alerts.listing import MAX_ID, found_delivery
from hogline_instance.alerts.outbox import cancel_waiting, send_again
from hogline_instance.alerts.tables import CANCELLED, FAILED, TEST, AlertRow, DeliveryRow
from hogline_instance.db import storable_text, utc_now
from hogline_instance.errors import FilterError, check_filters
from hogline_instance.outgoing import OutgoingError, split_url
from hogline_instance.private_hosts import is_public
from hogline_instance.settings import Settings
from hogline_instance.web.errors import invalid_field, not_found

__all__ = ["change_alert", "create_alert", "found_alert", "repeat_delivery", "replace_secret"]

_SECRETS_OVERLAP = timedelta(days=1)
_MAX_ALERTS = 100
_MAX_NAME, _MAX_URL, _MAX_ADDRESSES, _MAX_ADDRESS = 200, 2_000, 20, 254
_MAX_FILTER_BYTES = 64 * 1024
_MAX_DIGEST_AFTER, _MAX_DIGEST_MINUTES = 100, 1_440
_DEFAULTS = {"digest_after": 5, "digest_minutes": 10}
_ADDRESS = re.compile(r"[!-~]+@[A-Za-z0-9.-]*[A-Za-z0-9]")
_NOT_IN_ADDRESS = frozenset('()<>[]:;,\\"')


def found_alert(session: Session, project_id: int, alert_id: int) -> AlertRow:
    """Return an alert of the project. Raises ApiError: there is none."""
    query = select(AlertRow).where(AlertRow.team_id == project_id, AlertRow.id == alert_id)
    row = session.scalar(query) if 0 < alert_id <= MAX_ID else None
    if row is None:
        raise not_found("This project has no alert with that id.")
    return row


def create_alert(session: Session, project_id: int, body: Mapping[str, Any], settings: Settings) -> AlertRow:
    """Add an alert; a webhook gets a secret. Raises ApiError: a field is invalid."""
    count = select(func.count()).select_from(AlertRow).where(AlertRow.team_id == project_id)
    if (session.scalar(count) or 0) >= _MAX_ALERTS:
        raise invalid_field("name", "max_length", f"A project has at most {_MAX_ALERTS} alerts.")
    kind = body.get("kind")
    if not isinstance(kind, str) or kind not in CHANNELS:
        raise invalid_field("kind", "invalid_choice", f"The kind of an alert is one of {', '.join(CHANNELS)}.")
    row = AlertRow(
        team_id=project_id, kind=kind, url="", addresses=[], secret=new_secret() if kind == WEBHOOK else "", filters={},
        enabled=True, omitted=0,
    )  # fmt: skip
    needed = {"name": None, "triggers": list(TRIGGERS), "url" if kind in HOOKS else "addresses": None, **_DEFAULTS}
    _set(row, {**needed, **body}, settings)
    session.add(row)
    session.flush()
    return row


def change_alert(session: Session, row: AlertRow, body: Mapping[str, Any], settings: Settings) -> None:
    """Set the fields that *body* names. A pause gives up what waits.

    Raises ApiError: a field is invalid.
    """
    if body.get("kind", row.kind) != row.kind:
        raise invalid_field("kind", "invalid", "The kind of an alert cannot be changed: make another alert.")
    was_enabled = row.enabled
    _set(row, body, settings)
    if was_enabled and not row.enabled:
        cancel_waiting(session, row.id, "the alert was paused", now=utc_now())


def replace_secret(row: AlertRow) -> str:
    """Give a webhook a new secret, and return it. For a day the old one signs beside it.

    Raises ApiError: the alert signs nothing.
    """
    if row.kind != WEBHOOK:
        raise invalid_field("kind", "invalid", "Only webhooks are signed.")
    row.previous_secret, row.previous_secret_until = row.secret, utc_now() + _SECRETS_OVERLAP
    row.secret = new_secret()
    return row.secret


def repeat_delivery(session: Session, project_id: int, delivery_id: int) -> DeliveryRow:
    """Let the message of a delivery be sent again.

    Raises ApiError: it did not fail, or its alert is paused.
    """
    row, alert = found_delivery(session, project_id, delivery_id)
    if row.kind == TEST or row.status not in {FAILED, CANCELLED}:
        raise invalid_field("status", "invalid", "Only a delivery that failed or was cancelled can be sent again.")
    if not alert.enabled:
        raise invalid_field("enabled", "invalid", "The alert is paused: resume it first.")
    send_again(session, row, now=utc_now())
    session.refresh(row)
    return row


def _set(row: AlertRow, body: Mapping[str, Any], settings: Settings) -> None:
    if "name" in body:
        row.name = _name(body["name"])
    if "url" in body and row.kind in HOOKS:
        row.url = _url(body["url"], settings)
    if "addresses" in body and row.kind == MAIL:
        row.addresses = _addresses(body["addresses"], settings)
    if "triggers" in body:
        row.triggers = _triggers(body["triggers"])
    if "filters" in body:
        row.filters = _filters(body["filters"])
    if "enabled" in body:
        if not isinstance(body["enabled"], bool):
            raise invalid_field("enabled", "invalid", "Must be a valid boolean.")
        row.enabled = body["enabled"]
    for name, most in (("digest_after", _MAX_DIGEST_AFTER), ("digest_minutes", _MAX_DIGEST_MINUTES)):
        if name in body:
            setattr(row, name, _number(name, body[name], most))


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise invalid_field("name", "required", "This field is required: a text.")
    if len(value.strip()) > _MAX_NAME:
        raise invalid_field("name", "max_length", f"Ensure this field has no more than {_MAX_NAME} characters.")
    return storable_text(value.strip())


def _url(value: object, settings: Settings) -> str:
    if not isinstance(value, str) or not value.strip():
        raise invalid_field("url", "required", "This field is required: the URL that messages are posted to.")
    url = value.strip()
    if len(url) > _MAX_URL or any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url):
        raise invalid_field("url", "invalid", f"A URL has at most {_MAX_URL} characters and no spaces.")
    try:
        parts, _ = split_url(url)
    except OutgoingError as error:
        raise invalid_field("url", "invalid", f"Enter a URL such as https://hooks.example.com/new: {error}.") from error
    if _is_private(parts.hostname or "", settings):
        raise invalid_field(
            "url", "invalid",
            "The URL points to a private address. The option alert_private_hosts (HOGLINE_ALERT_PRIVATE_HOSTS) allows hosts.",
        )  # fmt: skip
    return storable_text(url)


def _is_private(host: str, settings: Settings) -> bool:
    """Return whether *host* is a private address by its spelling.

    Names are looked up when a message is sent.
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        return not is_public(address) and not settings.private_hosts.allows(host, address)
    except ValueError:
        return False


def _addresses(value: object, settings: Settings) -> list[str]:
    if not settings.smtp_host:
        raise invalid_field(
            "kind", "invalid", "This instance sends no mail: set HOGLINE_SMTP_HOST and HOGLINE_SMTP_FROM."
        )
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_ADDRESSES:
        raise invalid_field(
            "addresses", "required", f"This field is required: a list of 1 to {_MAX_ADDRESSES} mail addresses."
        )
    for each in value:
        if (
            not isinstance(each, str)
            or len(each) > _MAX_ADDRESS
            or not _ADDRESS.fullmatch(each)
            or each.count("@") > 1
            or _NOT_IN_ADDRESS & set(each)
        ):
            raise invalid_field("addresses", "invalid", f"Enter valid mail addresses, got {str(each)[:100]!r}.")
    return list(dict.fromkeys(value))


def _triggers(value: object) -> list[str]:
    if not isinstance(value, list) or not value or not all(each in TRIGGERS for each in value):
        raise invalid_field("triggers", "invalid_choice", f"Choose at least one of {', '.join(TRIGGERS)}.")
    return [each for each in TRIGGERS if each in value]


def _filters(value: object) -> dict[str, Any]:
    if not value:
        return {}
    if len(orjson.dumps(value, default=str)) > _MAX_FILTER_BYTES:
        raise invalid_field("filters", "max_length", f"Filters have at most {_MAX_FILTER_BYTES} bytes.")
    try:
        check_filters(value)
    except FilterError as error:
        raise invalid_field("filters", "invalid_input", str(error)) from error
    return dict(value) if isinstance(value, Mapping) else {}


def _number(name: str, value: object, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise invalid_field(name, "invalid", f"Enter a number from 1 to {most}.")
    return value
