"""Randomness: a key without a format of its own is found by how little it looks like words."""

import math
import re
from collections import Counter
from itertools import pairwise

__all__ = ["looks_random", "random_spans"]

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\Z", re.IGNORECASE)
_HEX = re.compile(r"(?:0x)?[0-9a-f]+\Z", re.IGNORECASE)
_PATH_WORD = re.compile(r"[A-Za-z_][A-Za-z_.-]+\Z")
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
_NAME = re.compile(r"(?:[A-Za-z]+[0-9]{0,4}){1,3}|[0-9]+|[0-9]{1,4}[a-z]{1,2}")
_NUMBER = re.compile(r"[0-9]+|[0-9a-f]{7,}")
_WORDS = re.compile(r"[A-Z][a-z]{2,}|[a-z]{3,}|[A-Z]{2,}(?=[A-Z][a-z]|[^A-Za-z]|\Z)")

_MIN_ENTROPY_BITS = 3.8  # Shannon, for each character
_MIN_KINDS = 3  # of lower case, upper case, digits, symbols
# In names, at least this share of the alphabetic characters belongs to words; that is true for
# fewer than ten of 1,000 random texts.
_MIN_WORDINESS = 0.7

# An AWS secret access key has 40 characters of base64, and nothing else to know it by.
_RUN = re.compile(r"[A-Za-z0-9/+]{40,}+")
_WINDOW_CHARACTERS = 40
_MIN_TURNS = 7  # from one class of characters to another; of 200,000 random keys none has fewer
_LEAST_BITS, _BITS_OF_WORDINESS = 3.9, 0.6
_LOWER, _UPPER, _DIGIT, _SYMBOL = range(4)


def looks_random(word: str) -> bool:
    """Return whether *word* looks like a key.

    A key has many kinds of characters, none of them much more often than others, and no words.
    """
    if _is_place(word) or _UUID.match(word) or _HEX.match(word):
        return False
    kinds = (
        any(character.islower() for character in word),
        any(character.isupper() for character in word),
        any(character.isdigit() for character in word),
        not word.isalnum(),
    )
    return sum(kinds) >= _MIN_KINDS and _entropy_bits(word) >= _MIN_ENTROPY_BITS and not _is_name(word)


def random_spans(text: str) -> list[tuple[int, int]]:
    """Return where *text* has runs of base64 that look random.

    A run has 40 characters. The result is pairs of begin and end.
    """
    if len(text) < _WINDOW_CHARACTERS:
        return []
    return [match.span() for match in _RUN.finditer(text) if _has_random_window(match[0])]


def _has_random_window(run: str) -> bool:
    classes = [_class_of(character) for character in run]
    turns = [before != after and _SYMBOL not in (before, after) for before, after in pairwise(classes)]
    count = sum(turns[: _WINDOW_CHARACTERS - 1])
    last_begin = len(run) - _WINDOW_CHARACTERS
    skip_until = 0
    for begin in range(last_begin + 1):
        if count >= _MIN_TURNS and begin >= skip_until:
            if _is_random_window(run[begin : begin + _WINDOW_CHARACTERS]):
                return True
            skip_until = begin + 4  # neighbours look alike
        if begin < last_begin:
            count += turns[begin + _WINDOW_CHARACTERS - 1] - turns[begin]
    return last_begin % 4 != 0 and _is_random_window(run[last_begin:])


def _is_random_window(window: str) -> bool:
    kinds = {_class_of(character) for character in window}
    if not {_LOWER, _UPPER} <= kinds or kinds.isdisjoint({_DIGIT, _SYMBOL}):
        return False
    return _entropy_bits(window) >= _LEAST_BITS + _BITS_OF_WORDINESS * _wordiness(window)


def _class_of(character: str) -> int:
    if character.islower():
        return _LOWER
    if character.isupper():
        return _UPPER
    return _DIGIT if character.isdigit() else _SYMBOL


def _entropy_bits(text: str) -> float:
    length = len(text)
    return -sum(count / length * math.log2(count / length) for count in Counter(text).values())


def _wordiness(text: str) -> float:
    """Return how much of the alphabetic part of *text* belongs to words, as a share.

    A word is three lower-case characters, or an acronym.
    """
    letters = sum(character.isalpha() for character in text)
    return sum(map(len, _WORDS.findall(text))) / letters if letters else 1.0


def _is_name(word: str) -> bool:
    """Return whether *word* is made of names.

    Examples are `django.core.WSGIRequest` and `Order2-Line_3`.
    """
    parts = [part for part in _SEPARATORS.split(word) if part and not _NUMBER.fullmatch(part)]
    return all(_NAME.fullmatch(part) for part in parts) and _wordiness(" ".join(parts)) >= _MIN_WORDINESS


def _is_place(word: str) -> bool:
    """Return whether *word* is a path or a URL.

    Base64 has slashes too, but no words between them.
    """
    if "://" in word or word.startswith(("/", "./", "../", "~/")) or word[1:3] == ":\\":
        return True
    parts = word.replace("\\", "/").split("/")
    return len(parts) > 1 and 2 * sum(_PATH_WORD.match(part) is not None for part in parts) >= len(parts)
