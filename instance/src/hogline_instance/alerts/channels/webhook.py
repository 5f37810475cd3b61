"""Webhooks: JSON with a signature over id, time and body.

Source: https://www.standardwebhooks.com
"""

import base64
import hashlib
import hmac
import secrets
import time

import orjson

from hogline_instance.alerts.channels.hooks import post
from hogline_instance.alerts.channels.outcome import Outcome
from hogline_instance.alerts.message import Message
from hogline_instance.alerts.tables import AlertRow
from hogline_instance.settings import Settings

__all__ = ["new_secret", "send", "signature_headers"]

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a random secret; what follows its prefix is base64 of the key."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signature_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers with which a receiver verifies *body*."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def send(message: Message, alert: AlertRow, settings: Settings) -> Outcome:
    """Post *message*, signed with the time of this attempt."""
    body = orjson.dumps(message.body())
    return post(alert.url, body, signature_headers(alert.secret, message.id, int(time.time()), body), settings)
