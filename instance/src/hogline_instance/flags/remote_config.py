"""Payloads of remote config flags: encrypted where the flag says so, and read back for a key.

The key lies in the data folder, so that a copy of the database alone does not show them.
"""

import os
from pathlib import Path
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import or_, select

from hogline_instance.db import Database
from hogline_instance.flags.tables import FlagRow

__all__ = ["REDACTED", "PayloadCipher", "payload_of"]

_KEY_FILE = "flag-payloads.key"
_KEY_VARIABLE = "HOGLINE_FLAG_PAYLOADS_KEY"
REDACTED = '"********* (encrypted)"'
"""The payload that is shown instead of an encrypted one; JSON text, as every payload."""


class PayloadCipher:
    """Encrypts payloads with the key of the data folder, which the first use creates.

    Several nodes over one database share a key through the environment variable
    HOGLINE_FLAG_PAYLOADS_KEY.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / _KEY_FILE
        self._fernet: Fernet | None = None

    def encrypt(self, payload: str) -> str:
        """Return *payload* encrypted."""
        return self._cipher().encrypt(payload.encode()).decode()

    def decrypt(self, text: str) -> str:
        """Return the payload in *text*, or a marker if another key encrypted it."""
        try:
            return self._cipher().decrypt(text.encode()).decode()
        except InvalidToken:
            return REDACTED

    def _cipher(self) -> Fernet:
        if self._fernet is None:
            self._fernet = Fernet(os.environ.get(_KEY_VARIABLE, "").encode() or self._key())
        return self._fernet

    def _key(self) -> bytes:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return self._path.read_bytes().strip()
        key = Fernet.generate_key()
        with os.fdopen(handle, "wb") as file:
            file.write(key)
        return key


def payload_of(database: Database, cipher: PayloadCipher, project_id: int, name: str) -> str | None:
    """Return the payload of the flag with the key or id *name*, or None if there is no such flag.

    A flag without a payload has the payload null.
    """
    by_id = FlagRow.id == int(name) if name.isascii() and name.isdigit() and len(name) < 10 else None
    by_key = FlagRow.key == name
    with database.session() as session:
        rows = session.scalars(
            select(FlagRow).where(
                FlagRow.team_id == project_id,
                FlagRow.deleted.is_(False),
                or_(by_key, by_id) if by_id is not None else by_key,
            )
        ).all()
    # A key of digits wins over the id: SDKs name flags by their keys.
    row = next((each for each in rows if each.key == name), rows[0] if rows else None)
    if row is None:
        return None
    payload: Any = ((row.filters or {}).get("payloads") or {}).get("true")
    if payload is None:
        return "null"
    text = payload if isinstance(payload, str) else orjson.dumps(payload).decode()
    return cipher.decrypt(text) if row.has_encrypted_payloads else text
