"""Masks: what of a program's variables may leave it; when in doubt, it hides.

A name that sounds like a secret hides its value; in texts, passwords of URLs, authorization headers, well-known kinds of
keys and whatever looks random are replaced.
Source: docs/internals/capture-protocol.md#code-variables.
"""

import functools
import math
import re
from collections import Counter
from dataclasses import dataclass

__all__ = ["REDACTED", "REDACTED_KEY", "Masks", "masks"]

REDACTED = "$$_posthog_redacted_based_on_masking_rules_$$"
REDACTED_KEY = "$$_posthog_redacted_key_{}_$$"

_MASKED = (
    "password", "secret", "passwd", "pwd", "api_key", "apikey", "auth", "credentials", "privatekey", "private_key", "token",
    "aws_access_key_id", "_pass", "sk_", "jwt", "connection_string", "connectionstring", "conn_str", "connstr", "dsn",
    "?sig=", "&sig=",
)  # fmt: skip
_IGNORED = ("^__.*",)

# scheme://user:password@host: all up to the last @ before the path; a password may hold a slash, a port is no password.
_URL_CREDENTIALS = re.compile(r"(?<=://)(?:[^\s/?#]+@|[^\s/?#@:]*:(?!\d+[/?#])[^\s@]*@)")
_AUTHORIZATION = re.compile(r"\b(basic|bearer|digest|negotiate)(\s+)([\w+/=.~-]{8,})", re.IGNORECASE)
_MIN_SECRET_CHARACTERS = 14  # "basic 12345678"; keys are longer still
_LONGEST_WORD_CHARACTERS = 15  # "basic understanding" is prose; credentials are longer, or no plain word
_PRIVATE_KEY = "PRIVATE KEY-----"
_KNOWN_KEYS = re.compile(
    r"""
    (?<![A-Za-z0-9])(?:
        sk-(?:ant-|proj-)?[\w-]{16,}                            # Anthropic, OpenAI
      | hf_[A-Za-z0-9]{16,} | (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16} | AIza[\w-]{30,} | ya29\.[\w-]{16,}
      | do[opr]_v1_[a-f0-9]{32,} | [rsp]k_(?:live|test)_[A-Za-z0-9]{10,} | whsec_[A-Za-z0-9+/=]{16,}
      | sq0[a-z]{3}-[\w-]{16,} | EAAA[\w-]{40,}                 # Square
      | gh[oprsu]_[A-Za-z0-9]{16,} | github_pat_\w{16,} | gl(?:pat|dt|rt|ptt|soat)-[\w-]{16,} | gl(?:c|sa)_[\w+/=]{16,}
      | xox[abeoprs]-[\w-]{10,} | xapp-[\w-]{10,} | (?:AC|SK)[a-f0-9]{32} | SG\.[\w-]{16,}\.[\w-]{16,}
      | key-[a-f0-9]{32} | [a-f0-9]{32}-us\d{1,2}               # Mailgun, Mailchimp
      | npm_[A-Za-z0-9]{16,} | pypi-[\w-]{16,} | dapi[a-f0-9]{32} | dp\.(?:pt|st|ct|sa|scim|audit)\.\w{16,}
      | PMAK-[a-f0-9-]{16,} | lin_(?:api|oauth)_\w{16,} | (?:ntn|secret)_[A-Za-z0-9]{16,} | shp(?:at|ca|pa|ss)_[a-fA-F0-9]{16,}
      | NRAK-[A-Z0-9]{16,} | ph[xs]_[A-Za-z0-9]{16,} | eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*
    )
    """,
    re.VERBOSE,
)
_WORD = re.compile(  # what a key may be: known kinds, and randomness, are looked for in nothing shorter
    r"""[^\s"'`<>(){}\[\],;=&?|]{16,}"""
)
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\Z", re.IGNORECASE)
_HEX = re.compile(r"(?:0x)?[0-9a-f]+\Z", re.IGNORECASE)
_PATH_WORD = re.compile(  # what a key may be: known kinds, and randomness, are looked for in nothing shorter
    r"[A-Za-z_][A-Za-z_.-]+\Z"
)
_MIN_ENTROPY_BITS = 3.8  # Shannon, for each character
_MIN_KINDS = 3  # of lower case, upper case, digits, symbols


@dataclass(frozen=True, slots=True)
class Masks:
    """What is hidden: `masks()` makes them."""

    words: tuple[str, ...]
    """In lower case; a search for a word is several times quicker than one for a pattern."""
    patterns: tuple[re.Pattern[str], ...]
    ignored: tuple[re.Pattern[str], ...]
    url_credentials: bool
    detect_secrets: bool

    def ignores(self, name: str) -> bool:
        """Tell whether a variable of that *name* is left out altogether."""
        return any(pattern.search(name) for pattern in self.ignored)

    def hides(self, text: str) -> bool:
        """Tell whether *text*, the name of something or its value, speaks of a secret."""
        lowered = text.lower()
        for word in self.words:  # any() would take three times as long, and this runs for each name and each text
            if word in lowered:
                return True
        return bool(self.patterns) and any(pattern.search(text) for pattern in self.patterns)

    def shown(self, text: str) -> str:
        """Return *text* with its secrets replaced; all of it, where it speaks of one."""
        return REDACTED if self.hides(text) else self.without_secrets(text)

    def without_secrets(self, text: str) -> str:
        """Return *text* with what looks like a secret replaced, whatever words it has."""
        if self.url_credentials and "://" in text:
            text = _URL_CREDENTIALS.sub(f"{REDACTED}@", text)
        if len(text) < _MIN_SECRET_CHARACTERS:
            return text
        if self.detect_secrets and _PRIVATE_KEY in text:
            return REDACTED
        if self.url_credentials:
            text = _AUTHORIZATION.sub(_without_credentials, text)
        return _WORD.sub(_without_keys, text) if self.detect_secrets else text


@functools.lru_cache(maxsize=64)
def masks(
    hidden: tuple[str, ...] | None, ignored: tuple[str, ...] | None, *, url_credentials: bool, detect_secrets: bool
) -> Masks:
    """Return masks of regular expressions, in any case; None: the built-in ones.

    Raises re.error: one that is no regular expression.
    """
    told = _MASKED if hidden is None else hidden
    plain = told if hidden is None else tuple(pattern for pattern in told if re.escape(pattern) == pattern)
    return Masks(
        words=tuple(pattern.lower() for pattern in plain),
        patterns=tuple(re.compile(pattern, re.IGNORECASE) for pattern in told if pattern not in plain),
        ignored=tuple(map(re.compile, _IGNORED if ignored is None else ignored)),
        url_credentials=url_credentials,
        detect_secrets=detect_secrets,
    )


def _without_credentials(match: re.Match[str]) -> str:
    scheme, space, credential = match.groups()
    if credential.isalpha() and credential.islower() and len(credential) <= _LONGEST_WORD_CHARACTERS:
        return match[0]
    return f"{scheme}{space}{REDACTED}"


def _without_keys(match: re.Match[str]) -> str:
    word = match[0]
    return REDACTED if _KNOWN_KEYS.search(word) or _is_random(word) else word


def _is_random(word: str) -> bool:
    """Tell whether *word* looks like a key: long, of many kinds of characters, none much more often than the others."""
    if REDACTED in word or _is_place(word) or _UUID.match(word) or _HEX.match(word):
        return False
    kinds = (
        any(character.islower() for character in word),
        any(character.isupper() for character in word),
        any(character.isdigit() for character in word),
        not word.isalnum(),
    )
    if sum(kinds) < _MIN_KINDS:
        return False
    length = len(word)
    entropy = -sum(count / length * math.log2(count / length) for count in Counter(word).values())
    return entropy >= _MIN_ENTROPY_BITS


def _is_place(word: str) -> bool:
    """Tell whether *word* is a path or a URL; base64 has slashes too, but no words between them."""
    if "://" in word or word.startswith(("/", "./", "../", "~/")) or word[1:3] == ":\\":
        return True
    parts = word.replace("\\", "/").split("/")
    return len(parts) > 1 and 2 * sum(_PATH_WORD.match(part) is not None for part in parts) >= len(parts)
