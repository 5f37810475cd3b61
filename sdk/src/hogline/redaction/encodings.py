"""Encodings that hide a secret from the patterns: base64, base32, hex, lists of codes, broken lines.

Most texts have none of them, so each is first known by its characters, and what it decodes to by a
stretch of printable ASCII: hashes and random ids have none.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator

__all__ = ["encoded_spans", "encoded_words", "joined"]

Judge = Callable[[str], bool]
"""Returns whether a decoded text contains a secret."""

_LONG_RUN = re.compile(r"[A-Za-z0-9+/_-]{20}")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{20,}+(?:(?:\\r)?(?:\\n|\r?\n)[A-Za-z0-9+/_-]{1,256}+)*+")
# Each three characters of printable ASCII, and each three of it in UTF-16, make four such digits.
_BASE64 = re.compile(
    r"(?:[I-Za-f][C-HS-Xi-nyz0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]){4}|"
    r"(?:[I-Za-f][AQgw][AB][A-Za-z0-9+/_-]A[C-H][AEIMQUYcgkosw048]A){2}"
)
_BASE32 = re.compile(r"[A-Z2-7]{20,}+")
# The codes of printable ASCII begin with 2 to 7. In UTF-16 a zero stands beside each.
_HEX = re.compile(r"[2-7][0-9A-Fa-f](?:(?:00)?[2-7][0-9A-Fa-f]){11,}+")
_SPACED_HEX = re.compile(r"[2-7][0-9A-Fa-f](?:(?:[ :-]00)?(?:, ?|[ :-])(?:0x)?(?:00[ :-])?[2-7][0-9A-Fa-f]){11,}+")
_CODES = re.compile(r"(?<![\w.])(?:3[2-9]|[4-9]\d|1[01]\d|12[0-6])(?:, ?\d{2,3}){11,}+(?![\w.])")
_CHARACTERS = re.compile(r"[\"'](?:[ -~]|\\n)\\?[\"'](?:, ?\\?[\"'](?:[ -~]|\\n)\\?[\"']){11,}+")
_LEAST_ITEMS = 11
_LINE_END = re.compile(r"\\[rn]|[\r\n]")
_NOT_HEX = re.compile(r"0x|[^0-9A-Fa-f]")
_QUOTED = re.compile(r"[\"']([ -~]|\\n)\\?[\"'](?:, ?|\Z)")
_STRETCH = re.compile(rb"[\t\n\r -~]{12,}+")
_FOLDED = bytes.maketrans(b"-_", b"+/")
# What may stand between two characters of a secret unseen: broken lines, characters without width,
# and the zeros of UTF-16.
_JOINT = re.compile(r"[\\=](?:\r?\n|(?:\\r)?\\n)|[\0\u00ad\u200b-\u200d\u2060\ufeff]")
_JOINT_MARKS = ("\0", "\\\n", "\\\r", "\\\\n", "\\\\r", "=\n", "=\r", "=\\n", "=\\r")
_BROKEN_WORD = re.compile(rf"(?:{_JOINT.pattern}|[^\s\"'`<>(){{}}\[\],;&?|])++")


def joined(text: str) -> str:
    """Return *text* without the characters that break it unseen."""
    return _JOINT.sub("", text)


def encoded_words(text: str, is_secret: Judge) -> bool:
    """Return whether a word of *text*, a part of a URL, is an encoded secret."""
    return bool(_run_spans(text, is_secret))


def encoded_spans(text: str, is_secret: Judge) -> list[tuple[int, int]]:
    """Return where *text* hides a secret in an encoding.

    The result is pairs of begin and end, in no order.
    """
    spans = _run_spans(text, is_secret) if _LONG_RUN.search(text) is not None else []
    commas = text.count(",")
    if commas >= _LEAST_ITEMS:
        spans += _spans(text, _CODES, _from_codes, is_secret)
        spans += _spans(text, _CHARACTERS, _from_characters, is_secret)
    if max(commas, text.count(" "), text.count(":"), text.count("-")) >= _LEAST_ITEMS:
        spans += _spans(text, _SPACED_HEX, _from_hex, is_secret)
    may_be_broken = "=" in text or "\\" in text or "\0" in text  # asked first, because it is quick
    if not text.isascii() or (may_be_broken and any(mark in text for mark in _JOINT_MARKS)):
        spans += [
            match.span()
            for match in _BROKEN_WORD.finditer(text)
            if (word := joined(match[0])) != match[0] and is_secret(word)
        ]
    return spans


def _run_spans(text: str, is_secret: Judge) -> list[tuple[int, int]]:
    return _spans(text, _RUN, _from_run, is_secret)


def _spans(
    text: str, pattern: re.Pattern[str], decode: Callable[[str], Iterator[str]], is_secret: Judge
) -> list[tuple[int, int]]:
    return [match.span() for match in pattern.finditer(text) if any(map(is_secret, decode(match[0])))]


def _from_run(run: str) -> Iterator[str]:
    for match in _HEX.finditer(run):
        yield from _from_hex(match[0])
    if run.islower():  # most identifiers; base64 of text never is
        return
    for match in _BASE32.finditer(run):
        yield from _from_base32(match[0])
    digits = _LINE_END.sub("", run) if "\n" in run or "\\" in run else run
    for match in _BASE64.finditer(digits):  # a word may stand right before it
        yield from _from_base64(digits[match.start() :])


def _from_base64(digits: str) -> Iterator[str]:
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    data = digits.encode().translate(_FOLDED)
    yield from _stretches(binascii.a2b_base64(data + b"=" * (-len(data) % 4)))


def _from_base32(run: str) -> Iterator[str]:
    for begin in range(8):
        digits = run[begin:]
        digits = digits[:-1] if len(digits) % 8 in (1, 3, 6) else digits
        yield from _stretches(base64.b32decode(digits + "=" * (-len(digits) % 8)))


def _from_hex(run: str) -> Iterator[str]:
    digits = _NOT_HEX.sub("", run)
    yield from _stretches(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _from_codes(run: str) -> Iterator[str]:
    yield "".join(chr(int(code)) for code in re.findall(r"\d+", run))


def _from_characters(run: str) -> Iterator[str]:
    yield "".join(_QUOTED.findall(run))


def _stretches(data: bytes) -> Iterator[str]:
    """Yield the printable parts of decoded *data*; a hash or a picture has none that is long."""
    for match in _STRETCH.finditer(data.replace(b"\0", b"")):
        yield match[0].decode("ascii")
