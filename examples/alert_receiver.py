"""Receive the alerts of a Hogline instance, and verify that they come from it."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

TOLERANCE_S = 5 * 60


class WrongSignatureError(ValueError):
    """The request was not made with the secret, or it is an old one that somebody sends again."""


def verified(secret: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the alert in *body*.

    *headers* must find names in any case, as those of web frameworks do.
    """
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > TOLERANCE_S:
        raise WrongSignatureError("the request is too old")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    if not any(hmac.compare_digest(each, expected) for each in headers["webhook-signature"].split()):
        raise WrongSignatureError("the signature is wrong")
    return json.loads(body)
