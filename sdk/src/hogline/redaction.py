"""Redaction: secrets in URLs, and in texts that may hold them, are replaced before anything leaves.

Three ways to tell a secret: the parameter's name, the value's shape (tokens and keys that are recognised anywhere), and a
URL's userinfo. What is percent-encoded, or a URL inside a URL, is looked through. Pure functions over hostile texts.
"""

import functools
import re
from collections.abc import Set as AbstractSet
from urllib.parse import unquote_plus

__all__ = ["MASK", "SECRET_NAMES", "SECRET_WITHIN", "plain_name", "redacted_path", "redacted_query", "redacted_text"]

MASK = "redacted"
_MAX_QUERY_CHARACTERS = 8192
_MAX_TEXT_CHARACTERS = 65_536
_MARGIN_CHARACTERS = 2048  # looked at beyond what is shown, for what stands across the cut
_MAX_ENCODINGS = 3  # a URL in a URL in a URL

SECRET_WITHIN = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential", "signature",
    "authorization", "jwt", "sessionid", "csrf", "otp",
)  # fmt: skip
"""Names, compared without case and punctuation, whose values are secrets wherever these stand in the name."""
SECRET_NAMES = frozenset(
    {"auth", "code", "key", "pwd", "pass", "pin", "sid", "sig", "session", "state", "nonce", "ticket", "hash", "hmac"}
)
"""Names that are secrets only as a whole: 'code' is an OAuth grant, 'postcode' is not."""

# Values that are secrets under any name: JWTs and vendors' key prefixes. A vendor's key has a digit; prose has none.
# A run of characters is judged once, from its beginning and by the first prefix in it: where that one fails, later ones in
# the run would too. So the work grows with the text's length, and not with its square.
_JWT = re.compile(r"(?<![\w-])(?>([\w-]*?)eyJ)[\w-]++\.[\w-]++(?:\.[\w-]*+)?")
_KEY = re.compile(
    r"(?<![\w.-])(?>([\w.-]*?)(?<![A-Za-z0-9])"
    r"(?:ph[cxsa]_|sk[-_]|pk[-_]|rk_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|AIza|hf_|npm_|pypi-|SG\.|ya29\.|whsec_))"
    r"(?=[\w.-]*?[0-9])[\w.-]{8,}+"
)
_BEARER = re.compile(r"(\b)Bearer\s++[\w.~+/=-]++")
_SECRETS = (_JWT, _KEY, _BEARER)
# How each of them begins: what has none of these, as almost every text, is done with in a fraction of the time.
_HINT = re.compile(
    r"eyJ|ph[cxsa]_|sk[-_]|pk[-_]|rk_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|AIza|hf_|npm_|pypi-|SG\.|ya29\.|whsec_|Bearer"
)
_SHORTEST_SECRET = 8  # characters; the patterns above match nothing shorter
# With one slash, where a server took the second for a mistake, only what has a password: "C:/a@b" is a file.
_USERINFO = re.compile(r":/(?:/[^/?#\s]*|[^/?#\s@:]*:[^/?#\s@]*)@")
# A password may hold a slash; what stands before a slash and is a number is a port.
_CREDENTIALS = re.compile(
    r"(://)(?:[^\s/?#\"'<>`]*@|[^\s/?#@:\"'<>`]*:(?!\d+(?:[/?#\s\"'<>`]|$))[^\s@\"'<>`]{0,256}+@)"
    r"|(:/)[^\s/?#@:\"'<>`]*:[^\s/?#@\"'<>`]*@"
)
_CREDENTIALS_MASK = rf"\1\2{MASK}@"
_KEY_IN_JSON = re.compile(r"""["']([^"'\\\s]{1,200})["']\s*+:""")
_PARAMETER = re.compile(r"(?:^|[?&#;])([^=?&#;]{1,200})=[^&#;]")
_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s\"'<>`]+")
ORDINARY_KEYS = frozenset({"code", "hash", "key", "nonce", "session", "state", "ticket"})
"""Of `SECRET_NAMES`, those that in JSON name an order's state rather than a login's."""
_PUNCTUATION = re.compile(r"[^a-z0-9]")
_LONGEST_REMEMBERED_NAME = 64
_NONE: AbstractSet[str] = frozenset()


def redacted_query(query: str, also: AbstractSet[str] = _NONE) -> str:
    """Return *query* with the values of secret names, and secret values, replaced by `MASK`; order and spelling stay.

    *also*: more names, as `plain_name` spells them.
    """
    if len(query) > _MAX_QUERY_CHARACTERS:  # without the last parameter, which may be half a secret now
        query = query[:_MAX_QUERY_CHARACTERS].rpartition("&")[0]
    parts = query.split("&")
    for part in parts:
        if not _is_plain(part, also):
            return "&".join([_redacted_parameter(part, also) for part in parts])
    return query


def redacted_path(path: str) -> str:
    """Return *path* with segments that are, or hold, secrets replaced by `MASK`; a query or userinfo in it as in a URL."""
    # Every name and its value are told from each other by "=", in ";jsessionid=x" as well as in "?token=x".
    suspicious = "%" in path or "=" in path or ":/" in path
    if not suspicious and (len(path) < _SHORTEST_SECRET or _HINT.search(path) is None):
        return path
    if ":/" in path:
        path = _CREDENTIALS.sub(_CREDENTIALS_MASK, path)  # before it is taken apart: a password may hold a slash
    path, question_mark, query = path.partition("?")  # decoded by the server, it is one more character of the path
    path = "/".join([MASK if _is_secret(segment, _NONE) else segment for segment in path.split("/")])
    return f"{path}{question_mark}{redacted_query(query)}"


def redacted_text(text: str, shown: int = _MAX_TEXT_CHARACTERS) -> str:
    """Return *text* with its URLs redacted and everything that has a secret's shape replaced by `MASK`.

    *shown*: how many characters of it are of use; what stands far behind them is neither looked at nor returned.
    """
    if len(text) < _SHORTEST_SECRET:
        return text
    if len(text) > shown + _MARGIN_CHARACTERS:
        text = text[: shown + _MARGIN_CHARACTERS]
        space = text.rfind(" ", shown + 1)  # the last word may be half a secret now
        text = text[:space] if space > 0 else text
    if ":/" in text:
        text = _URL.sub(_redacted_url, _CREDENTIALS.sub(_CREDENTIALS_MASK, text))
    if _HINT.search(text) is not None:
        for secret in _SECRETS:
            text = secret.sub(rf"\1{MASK}", text)
    return text


def plain_name(name: str) -> str:
    """Return *name* as names are compared: decoded, in lower case, without punctuation."""
    return _PUNCTUATION.sub("", unquote_plus(name).lower())


def _is_plain(part: str, also: AbstractSet[str]) -> bool:
    """Tell at once that *part* of a query has nothing to hide, as nearly all parameters; False: look closely."""
    name, _, value = part.partition("=")
    if len(name) > _LONGEST_REMEMBERED_NAME or not _is_known_plain(name) or (also and plain_name(name) in also):
        return False
    return (len(value) < _SHORTEST_SECRET and "=" not in value and "%" not in value) or not _is_secret(value, also)


def _redacted_parameter(part: str, also: AbstractSet[str]) -> str:
    name, equals, value = part.partition("=")
    if value and (_is_secret_name(name, also) or _is_secret(value, also)):
        value = MASK
    return f"{MASK if _is_secret(name, also) else name}{equals}{value}"


def _redacted_url(match: re.Match[str]) -> str:
    scheme, _, rest = match[0].partition("://")
    rest, hash_sign, fragment = rest.partition("#")
    path, question_mark, query = rest.partition("?")
    # Some put tokens into the fragment, as a query of its own.
    return (
        f"{scheme}://{redacted_path(path)}{question_mark}{redacted_query(query)}{hash_sign}{redacted_query(fragment)}"
    )


def _is_secret(text: str, also: AbstractSet[str]) -> bool:
    """Tell whether *text* is, or holds, a secret; also percent-encoded, also as a parameter or userinfo of a URL in it."""
    if len(text) < _SHORTEST_SECRET and "=" not in text and "%" not in text:
        return False
    for _ in range(_MAX_ENCODINGS):
        if _HINT.search(text) is not None and any(secret.search(text) for secret in _SECRETS):
            return True
        if ":/" in text and _USERINFO.search(text) is not None:
            return True
        if ":" in text and any(_is_secret_key(name, also) for name in _KEY_IN_JSON.findall(text)):
            return True
        if "=" in text and any(_is_secret_name(name, also) for name in _PARAMETER.findall(text)):
            return True
        if "%" not in text and "+" not in text:
            return False
        decoded = unquote_plus(text)
        if decoded == text:
            return False
        text = decoded
    return "%" in text  # encoded more often than anybody has a reason to


def _is_secret_key(name: str, also: AbstractSet[str]) -> bool:
    return _is_secret_name(name, also) and plain_name(name) not in ORDINARY_KEYS - also


def _is_secret_name(name: str, also: AbstractSet[str]) -> bool:
    known = _known_name(name) if len(name) <= _LONGEST_REMEMBERED_NAME else _judged_name(name)
    return known or (bool(also) and plain_name(name) in also)


def _judged_name(name: str) -> bool:
    plain = plain_name(name)
    return plain in SECRET_NAMES or any(word in plain for word in SECRET_WITHIN)


# An app's parameters have few names, and every request has them again.
_known_name = functools.lru_cache(maxsize=1024)(_judged_name)


@functools.lru_cache(maxsize=1024)
def _is_known_plain(name: str) -> bool:
    return not _judged_name(name) and not _is_secret(name, _NONE)
