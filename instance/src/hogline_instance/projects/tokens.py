"""Random tokens and keys, and the hash under which a personal key is kept."""

import hashlib
import secrets
import string

__all__ = ["hash_key", "new_token"]

_ALPHABET = string.ascii_letters + string.digits


def new_token(prefix: str) -> str:
    """Return a new random token that starts with *prefix* (`phc_`, `phs_` or `phx_`)."""
    # Only alphanumeric characters, since a double click selects all of them. 43 are 256 bits.
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(43))


def hash_key(key: str) -> str:
    """Return the hash of a personal key, `sha256$<hex>`."""
    # A key has 256 random bits, so it needs neither salt nor a slow hash.
    return f"sha256${hashlib.sha256(key.encode()).hexdigest()}"
