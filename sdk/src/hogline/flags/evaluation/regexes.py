"""Patterns: regular expressions that mean the same to Python and to the server's Rust engine.

Patterns that may differ between the two are left to the server.

The two dialects differ in look-around, word boundaries, class sets, `$`, escapes and Unicode
classes, and Python backtracks where Rust does not. A pattern is read by its grammar; parts that the
reader does not know for certain are deferred.
"""

import re
from typing import Final

__all__ = ["INVALID", "Deferred", "Pattern", "read"]

_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ")
_CLASSES = frozenset("dDsSwW")
_CONTROLS = frozenset("fnrt")
_HEX = frozenset("0123456789abcdefABCDEF")
_IN_CLASS = frozenset("\\-[]^.$*+?(){}|")
_SET_OPERATORS = ("&&", "--", "~~", "||")
_MOST_REPETITIONS = 1000  # Rust refuses patterns that grow too large when they are unrolled
_CONTROL_SPACES = frozenset("\x1c\x1d\x1e\x1f")  # space to Python, not to Rust


class Deferred(Exception):  # noqa: N818 - a way out of the reader, not an error
    """The dialects may differ here."""


class _Invalid(Exception):  # noqa: N818 - the same
    """No dialect accepts this."""


class Pattern:
    """A pattern that both dialects read alike."""

    __slots__ = ("_branches", "_ends", "_expression", "_spaces", "_words")

    def __init__(self, expression: "re.Pattern[str]", *, ends: bool, branches: bool, words: bool, spaces: bool) -> None:
        self._expression = expression
        self._ends = ends
        self._branches = branches
        self._words = words
        self._spaces = spaces

    def found_in(self, text: str) -> bool | None:
        """Return whether the pattern occurs in *text*.

        The result is None where the dialects may differ on this text.
        """
        # A strict end makes a repetition before a last line feed try every length of itself.
        if self._ends and self._branches and text.endswith("\n"):
            return None
        if not text.isascii():
            if any("\ud800" <= character <= "\udfff" for character in text):
                return None
            if self._words and any(
                not (character.isascii() or character.isalpha() or character.isdecimal()) for character in text
            ):
                return None
        if self._spaces and not _CONTROL_SPACES.isdisjoint(text):
            return None
        return self._expression.search(text) is not None


INVALID: Final = None


def read(pattern: str) -> Pattern | None:
    """Return *pattern* compiled, or `INVALID`: no dialect accepts it, so it matches nothing.

    Raises Deferred: the dialects may differ.
    """
    reader = _Reader(pattern)
    try:
        translated = reader.whole()
        expression = re.compile(translated)
    except (_Invalid, re.error):
        return INVALID
    except (RecursionError, OverflowError) as error:
        raise Deferred from error
    return Pattern(expression, ends=reader.ends, branches=reader.branches, words=reader.words, spaces=reader.spaces)


class _Reader:
    """Reads alternatives of pieces of atoms, and writes them as Python has them."""

    def __init__(self, pattern: str) -> None:
        if any("\ud800" <= character <= "\udfff" for character in pattern):
            raise Deferred
        self._rest = pattern
        self.ends = self.branches = self.words = self.spaces = False

    def _take(self, count: int = 1) -> str:
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def whole(self) -> str:
        text, _ = self._alternatives()
        if self._rest:
            raise _Invalid  # a parenthesis that nothing opened
        return text

    def _alternatives(self) -> tuple[str, bool]:
        """Read up to the end or a closing parenthesis.

        Returns the text, and whether something in it is repeated.
        """
        parts: list[str] = []
        repeated = False
        while self._rest and self._rest[0] != ")":
            if self._rest[0] == "|":
                self.branches = True
                parts.append(self._take())
                if self._rest[:1] in ("*", "+", "?", "{"):
                    raise _Invalid if self._rest[0] != "{" else Deferred
                continue
            piece, again = self._piece(first=not parts)
            parts.append(piece)
            repeated = repeated or again
        return "".join(parts), repeated

    def _piece(self, *, first: bool) -> tuple[str, bool]:
        """Read one atom with its repetition."""
        head = self._rest[0]
        if head in "*+?" and first:
            raise _Invalid  # nothing to repeat
        if head in "*+?{":
            raise Deferred
        if head in "^$":
            self._take()
            if self._rest[:1] in ("*", "+", "?", "{"):
                raise Deferred  # an anchor repeated
            self.ends = self.ends or head == "$"
            return (r"\Z" if head == "$" else head), False
        inner_repeats = empty = False
        if head == "(":
            atom, inner_repeats = self._group()
            empty = atom in ("()", "(?:)")
        elif head == "[":
            atom = self._class()
        elif head == "\\":
            self._take()
            atom = self._escape(_PUNCTUATION)
        else:
            atom = self._take()
        repetition = self._repetition()
        if repetition and (inner_repeats or empty):
            raise Deferred  # repetitions of repetitions: exponential for Python, not for Rust
        return atom + repetition, inner_repeats or bool(repetition)

    def _repetition(self) -> str:
        head = self._rest[:1]
        if head not in ("*", "+", "?", "{"):
            return ""
        self.branches = True
        if head == "{":
            counted = re.match(r"\{([0-9]{1,4})(?:,([0-9]{0,4}))?\}", self._rest)
            if counted is None or any(int(count) > _MOST_REPETITIONS for count in counted.groups() if count):
                raise Deferred
            text = self._take(len(counted.group()))
        else:
            text = self._take()
        if self._rest[:1] == "?":
            text += self._take()
        if self._rest[:1] in ("*", "+", "?", "{"):
            raise Deferred  # possessive, or repeated again
        return text

    def _group(self) -> tuple[str, bool]:
        opening = self._take()
        if self._rest[:1] == "?":
            if self._rest[1:2] != ":":
                raise Deferred  # flags, names, look-around
            opening += self._take(2)
        if self._rest[:1] in ("*", "+", "?"):
            raise _Invalid
        inside, repeated = self._alternatives()
        if not self._rest:
            raise _Invalid
        return opening + inside + self._take(), repeated

    def _escape(self, plain: frozenset[str]) -> str:
        """Read the escape after a backslash."""
        if not self._rest:
            raise _Invalid
        character = self._take()
        if character == "x":
            digits = self._take(2)
            if len(digits) != 2 or not _HEX.issuperset(digits):
                raise Deferred
            return "\\x" + digits
        if character in _CLASSES:
            self.words = self.words or character in "wW"
            self.spaces = self.spaces or character in "sS"
        elif (character not in plain and character not in _CONTROLS) or character in "<>":
            raise Deferred  # word boundaries, back references, properties
        return "\\" + character

    def _class(self) -> str:
        text = self._take()
        if self._rest[:1] == "^":
            text += self._take()
        if self._rest[:1] == "]":
            raise Deferred  # an empty class to one, a bracket to the other
        wide = False  # the last member stands for many characters, and can begin no range
        while self._rest and self._rest[0] != "]":
            if self._rest[0] == "[" or self._rest.startswith(_SET_OPERATORS):
                raise Deferred
            is_range = self._rest[0] == "-" and self._rest[1:2] not in ("]", "")
            if is_range and (wide or (self._rest[1] == "\\" and self._rest[2:3] in _CLASSES)):
                raise Deferred
            wide = self._rest[0] == "\\" and self._rest[1:2] in _CLASSES
            member = self._take()
            text += member if member != "\\" else self._escape(_IN_CLASS)
        if not self._rest:
            raise _Invalid
        return text + self._take()
