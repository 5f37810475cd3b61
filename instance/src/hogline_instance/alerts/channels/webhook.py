"""Webhooks: JSON with a signature over id, time and body.

Source: https://www.standardwebhooks.com
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from datetime import datetime

import orjson

from hogline_instance.alerts.channels.hooks import post
from hogline_instance.alerts.channels.outcome import Outcome
from hogline_instance.alerts.message import Message
from hogline_instance.alerts.tables import AlertRow
from hogline_instance.db import aware, utc_now
from hogline_instance.settings import Settings

__all__ = ["new_secret", "send", "signature_headers", "signing_secrets"]

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a random secret; what follows its prefix is base64 of the key."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signature_headers(keys: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers with which a receiver verifies *body*, by one of *keys*."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{_signature(each, signed)}" for each in keys),
    }


def send(message: Message, alert: AlertRow, settings: Settings) -> Outcome:
    """Post *message*, signed with the time of this attempt."""
    body = orjson.dumps(message.body())
    return post(
        alert.url,
        body,
        signature_headers(signing_secrets(alert, utc_now()), message.id, int(time.time()), body),
        settings,
    )


def signing_secrets(alert: AlertRow, now: datetime) -> list[str]:
    """Return the secret of a webhook, and for a day the one that it replaced."""
    until = alert.previous_secret_until
    if until is None or aware(until) <= now:
        return [alert.secret]
    return [alert.secret, alert.previous_secret]


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
