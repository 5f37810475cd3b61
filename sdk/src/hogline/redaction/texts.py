"""Texts: secrets are found and replaced.

They are found by their format, or by the name before them, also where they are encoded.
"""

import binascii
import re
from collections.abc import Iterable

from hogline.redaction.encodings import encoded_spans
from hogline.redaction.escapes import without_escaped_secrets
from hogline.redaction.formats import MASK, format_spans
from hogline.redaction.names import is_secret_variable
from hogline.redaction.pairs import pair_spans
from hogline.redaction.randomness import looks_random, random_spans
from hogline.redaction.urls import CLICK_IDS, has_format, redacted_url, without_userinfo

__all__ = [
    "redacted_source_line",
    "redacted_text",
    "without_credentials",
    "without_known_secrets",
    "without_named_values",
    "without_random_words",
]

_MAX_TEXT_CHARACTERS = 65_536
_MARGIN_CHARACTERS = 2048  # looked at beyond what is shown, for what stands across the cut
_SHORTEST_SECRET_CHARACTERS = 8  # "Basic Og", "a://b@c"

_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s\"'<>`]+")
_SCHEMES = ("basic", "bearer", "digest", "negotiate")
_AUTHORIZATION = re.compile(
    r"(basic|bearer|digest|negotiate)(\s{1,8}+)"
    r"((?:\w{1,20}=(?:\"[^\"]{0,500}\"|[^\s,\"]{1,500})(?:,\s{0,8})?){2,20}|[\w.~+/-]++=*+)",
    re.IGNORECASE,
)
# "basic understanding" is prose. Credentials are longer, or no plain word.
_LONGEST_WORD_CHARACTERS = 15
_MIN_CREDENTIAL_CHARACTERS = 8

_NAME_HINTS = ("passw", "passphrase", "_pass", "pwd", "secret", "token", "key", "credential", "signature", "jwt", "session", "authorization", "cookie", "identified by")  # fmt: skip
_NAMED = re.compile(
    r"(?P<name>passw(?:or)?d|passphrase|(?<=_)pass|pwd|secret|token|api[ _-]?key|access[_-]?key|private[_-]?key|account[_-]?key|"
    r"credentials?|signature|jwt|session[_-]?id|authorization|cookie2?)"
    r"(?:[_-]?(?:access|key|value|hash|text|string|confirm(?:ation)?|again|id|\d{1,2})){0,3}"
    r"(?P<quote>(?:\\{0,6}[\"'])?\]?)(?P<sign>\s{0,4}(?:=>|==?|:)\s{0,4})"
    r"(?:[bu]?(?P<open>\\{0,6}[\"'])|(?P<bare>[^\s,;&\"'<>(){}\[\]\\]{1,4096}+)(?![(\[]))",
    re.IGNORECASE,
)
_HEADERS = ("authorization", "cookie", "cookie2")
_MAX_VALUE_CHARACTERS = 4096
_REST_OF_LINE = re.compile(r"(?:[^\r\n\"'\\]|\\[ux/]){0,4096}+")
_QUOTED = {quote: re.compile(rf"(?:[^{quote}\\]|\\.){{0,4096}}+", re.DOTALL) for quote in "\"'"}
_MIN_UNQUOTED_CHARACTERS = 4
_NO_VALUES = frozenset({"", "none", "null", "true", "false", "undefined", "str", "int", "bytes", "redacted"})

# A line with the field's place, then one with what is wrong with it, as pydantic 2 writes them.
_VALIDATION = re.compile(
    r"^(?P<place>[^\n]{1,200})\n(?P<why>  [^\n]{0,500}?\[type=\w{1,60}, input_value=)(?P<value>[^\n]{1,2000}?)(?=, input_type=)",
    re.MULTILINE,
)

_WORD = re.compile(r"[^\s\"'`<>(){}\[\],;=&?|]++")
_MIN_RANDOM_CHARACTERS = 16
_CLICK_ID = re.compile(rf"(?:^|[?&])(?:{'|'.join(CLICK_IDS)})=\Z")
_MAX_CLICK_ID_CHARACTERS = 16


def redacted_text(text: str, shown: int = _MAX_TEXT_CHARACTERS) -> str:
    """Return *text* with its URLs redacted and all known secrets replaced by `MASK`.

    *shown*: how many characters the caller needs. The text far behind them is neither searched nor
    returned.
    """
    if len(text) < _SHORTEST_SECRET_CHARACTERS:
        return text
    if len(text) > shown + _MARGIN_CHARACTERS:
        text = text[: shown + _MARGIN_CHARACTERS]
        space = text.rfind(" ", shown + 1)  # the last word may be half a secret now
        text = text[:space] if space > 0 else text
    if "input_value=" in text:
        text = _VALIDATION.sub(_without_input, text)
    return without_known_secrets(without_named_values(without_credentials(text)))


def redacted_source_line(line: str) -> str:
    """Return a line of source code without the secrets that somebody wrote into it.

    The code itself stays readable.
    """
    return without_known_secrets(
        without_named_values(without_userinfo(line) if ":/" in line else line, only_quoted=True)
    )


def without_credentials(text: str, mask: str = MASK) -> str:
    """Return *text* without credentials.

    They stand in URLs, and after `Basic`, `Bearer`, `Digest` and `Negotiate`.
    """
    if len(text) < _SHORTEST_SECRET_CHARACTERS:
        return text
    if ":/" in text:
        text = _URL.sub(lambda match: redacted_url(match[0], mask), without_userinfo(text, mask))
    lowered = text.lower()
    for scheme in _SCHEMES:
        if scheme in lowered:
            return _AUTHORIZATION.sub(lambda match: _without_credential(match, mask), text)
    return text


def without_known_secrets(text: str, mask: str = MASK) -> str:
    """Return *text* without everything that has the format of a secret.

    The format may show in the text as it is, or after decoding.
    """
    if len(text) < _SHORTEST_SECRET_CHARACTERS:
        return text
    if spans := [*format_spans(text), *random_spans(text), *encoded_spans(text, _is_secret)]:
        text = _replaced(text, spans, mask)
    if "%" in text or "\\" in text or "=" in text or "&#" in text:
        text = without_escaped_secrets(text, mask, _is_secret)
    return text


def without_random_words(text: str, mask: str = MASK) -> str:
    """Return *text* without words of 16 characters and more that look random."""
    if len(text) < _MIN_RANDOM_CHARACTERS:
        return text
    return _WORD.sub(lambda match: _unless_random(match, mask), text)


def _unless_random(match: re.Match[str], mask: str) -> str:
    word = match[0]
    if len(word) < _MIN_RANDOM_CHARACTERS or mask in word or not looks_random(word):
        return word
    name = match.string[max(0, match.start() - _MAX_CLICK_ID_CHARACTERS) : match.start()]
    return word if _CLICK_ID.search(name) is not None else mask


def _replaced(text: str, spans: Iterable[tuple[int, int]], mask: str) -> str:
    parts: list[str] = []
    place = 0
    for begin, end in sorted(spans):
        if begin >= place:
            parts += (text[place:begin], mask)
        place = max(place, end)
    return "".join((*parts, text[place:]))


def _without_credential(match: re.Match[str], mask: str) -> str:
    scheme, space, credential = match.groups()
    return f"{scheme}{space}{mask}" if _is_credential(scheme, credential) else match[0]


def _without_input(match: re.Match[str]) -> str:
    """Return a validation error without the input, if the field's name is a secret's."""
    is_secret = any(is_secret_variable(part) for part in match["place"].split("."))
    return f"{match['place']}\n{match['why']}{MASK}" if is_secret else match[0]


def _is_credential(scheme: str, credential: str) -> bool:
    if scheme == "Bearer" or (scheme.lower() == "basic" and _is_login(credential)):
        return True
    is_word = credential.isalpha() and credential.islower() and len(credential) <= _LONGEST_WORD_CHARACTERS
    return len(credential) >= _MIN_CREDENTIAL_CHARACTERS and not is_word


def _is_login(credential: str) -> bool:
    """Return whether *credential* is `user:password` in base64: RFC 7617."""
    digits = credential.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b":" in binascii.a2b_base64(digits + "=" * (-len(digits) % 4))
    except ValueError:
        return False


def without_named_values(text: str, mask: str = MASK, *, only_quoted: bool = False) -> str:
    """Return *text* without the values that stand behind names of secrets.

    Examples are `password=x`, `"token": "x"` and `Cookie: x`.
    """
    lowered = text.lower()
    for hint in _NAME_HINTS:
        if hint in lowered:
            break
    else:
        return text
    spans = []
    place = 0
    while (match := _NAMED.search(text, place)) is not None:
        begin, end = _value_span(text, match, only_quoted=only_quoted)
        place = max(end, match.end())
        if text[begin:end].lower() not in _NO_VALUES:
            spans.append((begin, end))
    if not only_quoted:
        spans += [(begin, end) for begin, end in pair_spans(text) if text[begin:end].lower() not in _NO_VALUES]
    return _replaced(text, spans, mask) if spans else text


def _value_span(text: str, match: re.Match[str], *, only_quoted: bool) -> tuple[int, int]:
    """Return where the value of the name that *match* found begins and ends.

    Both are the same place if it has no value.
    """
    opening, begin = match["open"], match.end()
    if opening is None:
        begin = match.start("bare")
        is_colon = ":" in match["sign"]
        if only_quoted:
            return begin, begin
        if is_colon and not match["quote"]:
            if match["name"].lower() in _HEADERS:
                rest = _REST_OF_LINE.match(text, begin)
                return begin, rest.end() if rest is not None else begin
            value = match["bare"]  # prose has colons: "wrong password: at least ..."
            if len(value) < _MIN_UNQUOTED_CHARACTERS or not any(character.isdigit() for character in value):
                return begin, begin
        elif match["name"].lower() == "cookie" and not is_colon:
            return begin, begin
        return begin, match.end()
    if len(opening) == 1:
        value_match = _QUOTED[opening].match(text, begin)
        return begin, value_match.end() if value_match is not None else begin
    end = text.find(opening, begin, begin + _MAX_VALUE_CHARACTERS)
    return begin, end if end >= 0 else min(len(text), begin + _MAX_VALUE_CHARACTERS)


def _is_secret(text: str) -> bool:
    """Return whether a decoded *text* contains a secret."""
    return has_format(text) or without_named_values(without_credentials(text)) != text
