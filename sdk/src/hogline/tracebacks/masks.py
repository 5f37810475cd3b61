"""Masks: which of a program's variables an event must not show, or only in part.

In doubt, a value is hidden.

The name of a secret hides its value. In texts, passwords of URLs, authorization headers, the known
formats of secrets and words that look random are replaced. Source:
docs/internals/capture-protocol.md#code-variables.
"""

import functools
import re
from dataclasses import dataclass

from hogline.redaction.names import MASKED_WORDS, is_secret_variable
from hogline.redaction.texts import (
    without_credentials,
    without_known_secrets,
    without_named_values,
    without_random_words,
)

__all__ = ["REDACTED", "REDACTED_KEY", "Masks", "masks"]

REDACTED = "$$_posthog_redacted_based_on_masking_rules_$$"
REDACTED_KEY = "$$_posthog_redacted_key_{}_$$"

_IGNORED = ("^__.*",)
_AUTHOR = re.compile(r"author(?!i[sz])")
_MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Masks:
    """Rules for what is hidden. `masks()` makes them."""

    words: tuple[str, ...]
    """In lower case; a search for a word is several times quicker than one for a pattern."""
    patterns: tuple[re.Pattern[str], ...]
    ignored: tuple[re.Pattern[str], ...]
    url_credentials: bool
    detect_secrets: bool
    knows_names: bool = False
    """Whether the built-in names of secrets count, too; patterns of the app's own replace them."""

    def ignores(self, name: str) -> bool:
        """Return whether a variable of that *name* is left out altogether."""
        return any(pattern.search(name) for pattern in self.ignored)

    def hides_name(self, name: str) -> bool:
        """Return whether that *name* of a variable, a key or an attribute is a secret's."""
        return self.hides(name) or (self.knows_names and len(name) <= _MAX_NAME_CHARACTERS and is_secret_variable(name))

    def hides(self, text: str) -> bool:
        """Return whether *text*, a name or a value, mentions a secret."""
        lowered = text.lower()
        if self.knows_names and "author" in lowered:  # an author is no secret; authorization is
            lowered = _AUTHOR.sub("", lowered)
        # `any()` would take three times as long, and this runs for each name and each text.
        for word in self.words:
            if word in lowered:
                return True
        return bool(self.patterns) and any(pattern.search(text) for pattern in self.patterns)

    def shown(self, text: str) -> str:
        """Return *text* with its secrets replaced; if it mentions one, the whole text."""
        return REDACTED if self.hides(text) else self.without_secrets(text)

    def without_secrets(self, text: str) -> str:
        """Return *text* with everything that looks like a secret replaced.

        It does not matter which words the text contains.
        """
        if self.url_credentials:
            text = without_credentials(text, REDACTED)
        if self.detect_secrets:
            text = without_known_secrets(without_named_values(text, REDACTED), REDACTED)
            text = without_random_words(text, REDACTED)
        return text


@functools.lru_cache(maxsize=64)
def masks(
    hidden: tuple[str, ...] | None, ignored: tuple[str, ...] | None, *, url_credentials: bool, detect_secrets: bool
) -> Masks:
    """Return masks of regular expressions, in any case; None: the built-in ones.

    Raises re.error: one that is no regular expression.
    """
    given = MASKED_WORDS if hidden is None else hidden
    plain = given if hidden is None else tuple(pattern for pattern in given if re.escape(pattern) == pattern)
    return Masks(
        words=tuple(pattern.lower() for pattern in plain),
        patterns=tuple(re.compile(pattern, re.IGNORECASE) for pattern in given if pattern not in plain),
        ignored=tuple(map(re.compile, _IGNORED if ignored is None else ignored)),
        url_credentials=url_credentials,
        detect_secrets=detect_secrets,
        knows_names=hidden is None,
    )
