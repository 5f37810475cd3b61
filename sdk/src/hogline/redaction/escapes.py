"""Escapes: percent-encoding, and those of JSON, Python, HTML and mail, which hide a secret."""

import re
import sys
from collections.abc import Callable
from urllib.parse import unquote

from hogline.redaction.encodings import joined

__all__ = ["without_escaped_secrets"]

_MAX_ENCODINGS = 3  # a URL in a URL in a URL
_WORD = re.compile(r"[^\s\"'`<>(){}\[\],;=&?|]++")
# A secret may have an equals sign in it, and each character may be an entity of HTML, or in braces.
_LONG_WORD = re.compile(r"(?:&#\w{1,8};|\\u\{[0-9A-Fa-f]{1,6}\}|[^\s\"'`<>(){}\[\],;&?|])++")
_ESCAPE = re.compile(
    r"\\x(?P<two>[0-9A-Fa-f]{2})|(?:\\u|%u)(?P<four>[0-9A-Fa-f]{4})|\\U(?P<eight>[0-9A-Fa-f]{8})|"
    r"(?:\\u\{|&#[xX])(?P<any>[0-9A-Fa-f]{1,6})[};]|&#(?P<decimal>[0-9]{1,7});|\\(?P<octal>[0-3][0-7]{2})|\\(?P<same>/)"
)
_ENCODED = re.compile(rf"%[0-9A-Fa-f]{{2}}|{_ESCAPE.pattern}")
_QUOTED_PRINTABLE = re.compile(r"(?:=[0-9A-F]{2}){6,}+")  # a URL has "=20" too


def without_escaped_secrets(text: str, mask: str, is_secret: Callable[[str], bool]) -> str:
    """Return *text* with every word replaced by *mask* that is a secret once it is decoded."""
    if _ENCODED.search(text) is None and ("=" not in text or _QUOTED_PRINTABLE.search(text) is None):
        return text
    for words in (_WORD, _LONG_WORD):
        text = words.sub(lambda match: mask if _hides_a_secret(match[0], is_secret) else match[0], text)
    return text


def _hides_a_secret(word: str, is_secret: Callable[[str], bool]) -> bool:
    if "=" in word:
        printable = _QUOTED_PRINTABLE.sub(_from_quoted_printable, word)
        if printable != word and is_secret(printable):
            return True
    if _ENCODED.search(word) is None:
        return False
    for _ in range(_MAX_ENCODINGS):
        decoded = joined(_ESCAPE.sub(_unescaped, unquote(word)))
        if decoded == word:
            return False
        word = decoded
        if is_secret(word):
            return True
    return False


def _from_quoted_printable(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("=", "")).decode("latin-1")


def _unescaped(match: re.Match[str]) -> str:
    kind, digits = next((kind, digits) for kind, digits in match.groupdict().items() if digits is not None)
    if kind == "same":
        return digits
    code = int(digits, {"decimal": 10, "octal": 8}.get(kind, 16))
    return chr(code) if code <= sys.maxunicode else match[0]
