"""URLs: paths and queries without the secrets in them; order and spelling of everything else stay.

There are three ways to know a secret: the parameter's name, the value's format (tokens and keys
that are recognised anywhere), and a URL's userinfo. Percent-encoded parts and a URL inside a URL
are searched too.
"""

import functools
import re
from collections.abc import Set as AbstractSet
from urllib.parse import unquote_plus

from hogline.redaction.encodings import encoded_words
from hogline.redaction.formats import MASK, format_spans
from hogline.redaction.names import NO_NAMES, is_secret_key, is_secret_name, plain_name
from hogline.redaction.randomness import random_spans

__all__ = ["CLICK_IDS", "has_format", "redacted_path", "redacted_query", "redacted_url", "without_userinfo"]

_MAX_QUERY_CHARACTERS = 8192
_MAX_ENCODINGS = 3  # a URL in a URL in a URL
_SHORTEST_SECRET = 8  # characters; no format is shorter
_LONGEST_REMEMBERED_NAME = 64
# With one slash, where a server took the second for a mistake, only what has a password: "C:/a@b"
# is a file.
_USERINFO = re.compile(r":/(?:/[^/?#\s]*|[^/?#\s@:]*:[^/?#\s@]*)@")
# A password may hold a slash. A number before a slash is a port.
_CREDENTIALS = re.compile(
    r"(://)(?:[^\s/?#\"'<>`]*@|[^\s/?#@:\"'<>`]*:(?!\d+(?:[/?#\s\"'<>`]|$))[^\s@\"'<>`]{0,256}+@)"
    r"|(:/)[^\s/?#@:\"'<>`]*:[^\s/?#@\"'<>`]*@"
)
_BEARER = re.compile(r"Bearer\s++[\w.~+/=-]")
_LONG_WORD = re.compile(r"[A-Za-z0-9+_-]{20}")  # which base64, base32 or hex may be
_KEY_IN_JSON = re.compile(r"""["']([^"'\\\s]{1,200})["']\s*+:""")
_PARAMETER = re.compile(r"(?:^|[?&#;])([^=?&#;]{1,200})=[^&#;]")
# Parameters with long random ids that advertisers add to links. They are no logins, and campaigns
# are measured by them.
CLICK_IDS = frozenset(
    {
        "gclid", "gbraid", "wbraid", "dclid", "gclsrc", "gad_source", "fbclid", "msclkid", "twclid", "ttclid", "li_fat_id",
        "igshid", "igsh", "epik", "yclid", "mc_eid", "mc_cid", "_ga", "_gl", "_hsenc", "_hsmi", "_kx", "sccid", "rdt_cid",
    }
)  # fmt: skip


def redacted_url(url: str, mask: str = MASK) -> str:
    """Return an absolute *url* with its secrets replaced by *mask*.

    The userinfo is gone already; secrets may stand in path, query and fragment.
    """
    scheme, _, rest = url.partition("://")
    rest, hash_sign, fragment = rest.partition("#")
    path, question_mark, query = rest.partition("?")
    # Some put tokens into the fragment, as a query of its own.
    return (
        f"{scheme}://{redacted_path(path, mask)}{question_mark}{redacted_query(query, mask=mask)}"
        f"{hash_sign}{redacted_query(fragment, mask=mask)}"
    )


def without_userinfo(text: str, mask: str = MASK) -> str:
    """Return *text* with the userinfo of its URLs replaced by *mask*."""
    return _CREDENTIALS.sub(rf"\1\2{mask}@", text)


def redacted_query(query: str, also: AbstractSet[str] = NO_NAMES, mask: str = MASK) -> str:
    """Return *query* with the values of secret names, and secret values, replaced by *mask*.

    Order and spelling stay.

    *also*: more names, as `plain_name` spells them.
    """
    # The last parameter is cut off, because it may be half a secret now.
    if len(query) > _MAX_QUERY_CHARACTERS:
        query = query[:_MAX_QUERY_CHARACTERS].rpartition("&")[0]
    parts = query.split("&")
    for part in parts:
        if not _is_plain(part, also):
            return "&".join([_redacted_parameter(part, also, mask) for part in parts])
    return query


def redacted_path(path: str, mask: str = MASK) -> str:
    """Return *path* with segments that are, or hold, secrets replaced by *mask*.

    A query or a userinfo in it is redacted as in a URL.
    """
    # An "=" stands between every name and its value, in ";jsessionid=x" as well as in "?token=x".
    suspicious = "%" in path or "=" in path or ":/" in path
    if not suspicious and (len(path) < _SHORTEST_SECRET or not _holds_format(path)):
        return path
    if ":/" in path:
        path = without_userinfo(path, mask)  # before it is taken apart: a password may hold a slash
    # Once the server decodes it, an encoded `?` is one more character of the path.
    path, question_mark, query = path.partition("?")
    for begin, end in sorted([*format_spans(path), *random_spans(path)], reverse=True):
        if "/" in path[begin:end]:  # one secret over several segments
            path = f"{path[:begin]}{mask}{path[end:]}"
    path = "/".join([mask if _is_secret(segment, NO_NAMES) else segment for segment in path.split("/")])
    return f"{path}{question_mark}{redacted_query(query, mask=mask)}"


def _is_plain(part: str, also: AbstractSet[str]) -> bool:
    """Return whether *part* of a query certainly holds no secret.

    Nearly all parameters hold none. False means that a closer look is needed.
    """
    name, _, value = part.partition("=")
    if "=" in value:
        return False
    if len(name) > _LONGEST_REMEMBERED_NAME or not _is_known_plain(name) or (also and plain_name(name) in also):
        return False
    return (len(value) < _SHORTEST_SECRET and "%" not in value) or name in CLICK_IDS or not _is_secret(value, also)


def _redacted_parameter(part: str, also: AbstractSet[str], mask: str) -> str:
    name, equals, value = part.partition("=")
    if "=" in value and any("=" in part[begin:end] for begin, end in format_spans(part)):
        return mask  # a secret with an equals sign in it, in place of a name
    if value and (is_secret_name(name, also) or (_is_secret(value, also) and name not in CLICK_IDS)):
        value = mask
    return f"{mask if _is_secret(name, also) else name}{equals}{value}"


def _is_secret(text: str, also: AbstractSet[str]) -> bool:
    """Return whether *text* contains a secret.

    It is also found percent-encoded, and as a parameter or the userinfo of a URL in the text.
    """
    if len(text) < _SHORTEST_SECRET and "=" not in text and "%" not in text:
        return False
    for _ in range(_MAX_ENCODINGS):
        if _holds_format(text):
            return True
        if ":/" in text and _USERINFO.search(text) is not None:
            return True
        if ":" in text and any(is_secret_key(name, also) for name in _KEY_IN_JSON.findall(text)):
            return True
        if "=" in text and any(is_secret_name(name, also) for name in _PARAMETER.findall(text)):
            return True
        if "%" not in text and "+" not in text:
            return False
        decoded = unquote_plus(text)
        if decoded == text:
            return False
        text = decoded
    return "%" in text  # encoded more often than anybody has a reason to


def _holds_format(text: str) -> bool:
    if has_format(text) or ("Bearer" in text and _BEARER.search(text) is not None):
        return True
    return _LONG_WORD.search(text) is not None and encoded_words(text, has_format)


def has_format(text: str) -> bool:
    """Return whether a part of *text* has the format of a vendor's secret, or looks random."""
    return bool(format_spans(text) or random_spans(text))


@functools.lru_cache(maxsize=1024)
def _is_known_plain(name: str) -> bool:
    return not is_secret_name(name) and not _is_secret(name, NO_NAMES)
