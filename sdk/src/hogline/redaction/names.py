"""Names whose values are secrets: of parameters, headers, fields and variables."""

import functools
import re
from collections.abc import Set as AbstractSet
from urllib.parse import unquote_plus

__all__ = [
    "MASKED_WORDS",
    "NO_NAMES",
    "ORDINARY_KEYS",
    "SECRET_NAMES",
    "SECRET_VARIABLES",
    "SECRET_WITHIN",
    "is_secret_key",
    "is_secret_name",
    "is_secret_variable",
    "plain_name",
]

SECRET_WITHIN = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential", "signature",
    "authorization", "jwt", "sessionid", "csrf", "otp",
)  # fmt: skip
"""Words that make a name a secret's, wherever they stand in the name.

Case and punctuation do not count.
"""
SECRET_NAMES = frozenset(
    {"auth", "code", "key", "pwd", "pass", "pin", "sid", "sig", "session", "state", "nonce", "ticket", "hash", "hmac"}
)
"""Names that are secrets only as a whole: 'code' is an OAuth grant, 'postcode' is not."""
ORDINARY_KEYS = frozenset({"code", "hash", "key", "nonce", "session", "state", "ticket"})
"""Those of `SECRET_NAMES` that in JSON name an order's state rather than a login's."""
MASKED_WORDS = (
    "password", "secret", "passwd", "pwd", "api_key", "apikey", "auth", "credentials", "privatekey", "private_key", "token",
    "aws_access_key_id", "_pass", "sk_", "jwt", "connection_string", "connectionstring", "conn_str", "connstr", "dsn",
    "?sig=", "&sig=",
)  # fmt: skip
"""A variable, a key or a whole text that contains one of these is hidden.

Case does not count. The list is posthog-python's.
"""
SECRET_VARIABLES = frozenset(
    {"pass", "pin", "otp", "cvv", "cvc", "sid", "sig", "hmac", "cookie", "setcookie", "httpcookie", "userinfo"}
)
"""Names of variables and keys that are secrets only as a whole.

`code` and `state` are ordinary variables.
"""
_SECRET_WITHIN_VARIABLES = (
    *(word for word in SECRET_WITHIN if word != "otp"), "encryptionkey", "signingkey", "masterkey", "accountkey", "sessionkey",
)  # fmt: skip

_PUNCTUATION = re.compile(r"[^a-z0-9]")
_LONGEST_REMEMBERED_NAME = 64
NO_NAMES: AbstractSet[str] = frozenset()


def plain_name(name: str) -> str:
    """Return *name* as names are compared: decoded, in lower case, without punctuation."""
    return _PUNCTUATION.sub("", unquote_plus(name).lower())


def is_secret_name(name: str, also: AbstractSet[str] = NO_NAMES) -> bool:
    """Return whether a parameter of that *name* holds a secret.

    *also* has more names, as `plain_name` spells them.
    """
    known = _known_name(name) if len(name) <= _LONGEST_REMEMBERED_NAME else _judged_name(name)
    return known or (bool(also) and plain_name(name) in also)


def is_secret_key(name: str, also: AbstractSet[str] = NO_NAMES) -> bool:
    """Return whether a key of that *name* in JSON holds a secret."""
    return is_secret_name(name, also) and plain_name(name) not in ORDINARY_KEYS - also


@functools.lru_cache(maxsize=2048)
def is_secret_variable(name: str) -> bool:
    """Return whether a variable, a key or an attribute of that *name* holds a secret."""
    plain = _PUNCTUATION.sub("", name.lower())
    if plain in SECRET_VARIABLES:
        return True
    return any(word in plain for word in _SECRET_WITHIN_VARIABLES)


def _judged_name(name: str) -> bool:
    plain = plain_name(name)
    return plain in SECRET_NAMES or any(word in plain for word in SECRET_WITHIN)


# An app's parameters have few names, and every request has them again.
_known_name = functools.lru_cache(maxsize=1024)(_judged_name)
