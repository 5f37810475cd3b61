"""The mechanism: an option is a dataclass field with a kind.

The kind checks values and reads environment variables.
"""

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, TypeVar

from hogline.exceptions import SettingsError

__all__ = [
    "LONGEST_WAIT_S",
    "Anything",
    "Bytes",
    "Callback",
    "Choice",
    "ExceptionClasses",
    "Kind",
    "MappingOf",
    "Names",
    "Path",
    "Seconds",
    "Switch",
    "Text",
    "UnfitError",
    "Whole",
    "check_options",
    "environment_variables",
    "known_options",
    "option",
    "read_environment",
]

LONGEST_WAIT_S = 2_147_483.0
"""24 days: sockets count milliseconds in 31 bits, and cannot wait longer."""

_log = logging.getLogger("hogline")
_T = TypeVar("_T")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class UnfitError(ValueError):
    """A value does not suit its option.

    The error says what the option must be, what to do about it, and how to show the value.
    """

    def __init__(self, wanted: str, *, hint: str = "", shown: str | None = None) -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.hint = hint
        self.shown = shown

    def explain(self, name: str, value: Any, origin: str = "") -> SettingsError:
        """Return the error for the user, who set option *name* to *value* in *origin*."""
        shown = repr(value) if self.shown is None else self.shown
        return SettingsError(f"{name} must {self.wanted}, got {shown}{origin}{self.hint}")


class Kind:
    """One kind of value. `check` returns the value in its one form, or raises UnfitError."""

    # Kinds are plain classes: a dataclass for each would double the time that `import hogline`
    # takes for settings.

    def check(self, value: Any) -> Any:
        """Return *value* as the settings hold it."""
        return value

    def parse(self, text: str) -> Any:
        """Return the value that the environment variable's *text* means, before `check`."""
        return text


Anything = Kind


class Switch(Kind):
    """True or False."""

    def check(self, value: Any) -> Any:
        """Return the value; neither 1 nor "yes" will do."""
        if not isinstance(value, bool):
            raise UnfitError("be True or False")
        return value

    def parse(self, text: str) -> Any:
        """Return the boolean that a usual word for it means."""
        lowered = text.lower()
        if lowered not in _TRUE | _FALSE:
            raise UnfitError("be true or false")
        return lowered in _TRUE


class Text(Kind):
    """A string, without the spaces around it; None where that is allowed."""

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional

    def check(self, value: Any) -> Any:
        """Return the text; an optional one that is blank is None."""
        if value is None and self.optional:
            return None
        if not isinstance(value, str):
            raise UnfitError("be a string")
        text = value.strip()
        return (text or None) if self.optional else text


class Whole(Kind):
    """A whole number."""

    def __init__(self, minimum: int, maximum: int | None = None) -> None:
        self.minimum = minimum
        self.maximum = maximum

    def check(self, value: Any) -> Any:
        """Return the number."""
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= self.minimum
        if not fits or (self.maximum is not None and value > self.maximum):
            bounds = f"of at least {self.minimum}" if self.maximum is None else f"from {self.minimum} to {self.maximum}"
            raise UnfitError(f"be a whole number {bounds}")
        return value

    def parse(self, text: str) -> Any:
        """Return the number."""
        try:
            return int(text)
        except ValueError:
            raise UnfitError("be a whole number") from None


class Bytes(Whole):
    """A number of bytes."""


class Seconds(Kind):
    """A duration that a wait can have."""

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def check(self, value: Any) -> Any:
        """Return the number. NaN and infinity fit no bounds."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and self.minimum <= value <= LONGEST_WAIT_S):
            raise UnfitError(
                f"be a number of at least {self.minimum:g}, and at most {LONGEST_WAIT_S:.0f} seconds (24 days)"
            )
        return value

    def parse(self, text: str) -> Any:
        """Return the number."""
        try:
            return float(text)
        except ValueError:
            raise UnfitError("be a number") from None


class Choice(Kind):
    """One of a few words, in any case.

    An enum's member counts by its value: posthog-python has enums for some options.
    """

    def __init__(self, words: Mapping[str, str], *, optional: bool = False, is_lenient: bool = False) -> None:
        """Take the *words* that are understood, and the name of each here.

        *is_lenient*: a wrong word in the environment is a warning, as in posthog-python.
        """
        self.words = words
        self.optional = optional
        self.is_lenient = is_lenient

    def check(self, value: Any) -> Any:
        """Return the word."""
        if value is None and self.optional:
            return None
        word = getattr(value, "value", value)
        if not isinstance(word, str) or word.strip().lower() not in self.words:
            raise UnfitError(f"be one of {', '.join(dict.fromkeys(self.words.values()))}")
        return self.words[word.strip().lower()]


class Path(Kind):
    """A file or folder, made absolute at once: neither `chdir` nor a fork moves it later.

    `~` is the user's home.
    """

    def __init__(self, *, is_empty_allowed: bool = False, what: str = "a folder's path") -> None:
        self.is_empty_allowed = is_empty_allowed
        self.what = what

    def check(self, value: Any) -> Any:
        """Return the absolute path, or None."""
        if value is None or (value == "" and self.is_empty_allowed):
            return value
        path = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(path, str) or not path:
            raise UnfitError(f"be {self.what}")
        expanded = os.path.expanduser(path)  # noqa: PTH111 - pathlib costs start-up time
        if expanded.startswith("~"):
            raise UnfitError(f"be {self.what}, and there is no home folder for its '~'")
        try:
            return os.path.abspath(expanded)  # noqa: PTH100
        except OSError as error:
            raise UnfitError(f"be absolute while there is no current folder ({error})") from error


class Callback(Kind):
    """A function, or None."""

    def __init__(self, what: str = "a function") -> None:
        self.what = what

    def check(self, value: Any) -> Any:
        """Return the function."""
        if value is not None and not callable(value):
            raise UnfitError(f"be {self.what}")
        return value


class MappingOf(Kind):
    """A mapping, or None."""

    def check(self, value: Any) -> Any:
        """Return the mapping."""
        if value is not None and not isinstance(value, Mapping):
            raise UnfitError("be a mapping")
        return value


class Names(Kind):
    """Several texts; one may stand alone."""

    def __init__(self, what: str) -> None:
        self.what = what

    def check(self, value: Any) -> Any:
        """Return a tuple."""
        given = (value,) if isinstance(value, str) else value
        try:
            names = tuple(given)
        except TypeError:
            raise UnfitError(f"be {self.what}") from None
        if not all(isinstance(name, str) for name in names):
            raise UnfitError(f"be {self.what}")
        return names

    def parse(self, text: str) -> Any:
        """Return the texts between the commas."""
        return tuple(part.strip() for part in text.split(",") if part.strip())


class ExceptionClasses(Kind):
    """Classes of exceptions; one may stand alone."""

    def check(self, value: Any) -> Any:
        """Return a tuple."""
        classes = tuple(value) if isinstance(value, tuple | list | set | frozenset) else (value,)
        for one in classes:
            if not (isinstance(one, type) and issubclass(one, BaseException)):
                raise UnfitError("be exception classes", shown=repr(one))
        return classes


def option(kind: Kind, default: Any, text: str, *, env: tuple[str, ...] | None = None) -> Any:
    """Return a dataclass field for an option that means *text*.

    *env* names further environment variables; `()`: the option cannot come from the environment.
    """
    return field(default=default, metadata={"kind": kind, "text": text, "env": env})


def check_options(settings: Any) -> None:
    """Bring every option of the frozen dataclass *settings* into its one form.

    Raises SettingsError: a value that cannot work.
    """
    for declared in dataclasses.fields(settings):
        value = getattr(settings, declared.name)
        object.__setattr__(settings, declared.name, checked(declared, value))


def checked(declared: "dataclasses.Field[Any]", value: Any, origin: str = "") -> Any:
    """Return *value* in the form of the option *declared*.

    Raises SettingsError: it cannot work; the message ends with the *origin*.
    """
    kind: Kind = declared.metadata["kind"]
    try:
        return kind.check(value)
    except UnfitError as error:
        raise error.explain(declared.name, value, origin) from error.__cause__


def known_options(
    make: Callable[..., _T], owner: str, options: Mapping[str, Any]
) -> dict[str, "dataclasses.Field[Any]"]:
    """Return the options that the dataclass *make* declares, by name.

    Raises TypeError: *options* has another one. The message says what *owner* knows.
    """
    known = {declared.name: declared for declared in dataclasses.fields(make)}  # type: ignore[arg-type]
    for name in options:
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, n=1)
            hint = f" did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{owner} has no option {name!r};{hint} it knows {', '.join(sorted(known))}")
    return known


def environment_variables(declared: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """Return the variables that set the client option *declared*; the first that is set wins."""
    further = declared.metadata["env"]
    if further == ():
        return ()
    return (f"HOGLINE_{declared.name.upper()}", *(further or ()))


def read_environment(declared: "dataclasses.Field[Any]", environ: Mapping[str, str]) -> tuple[Any] | None:
    """Return the value that *environ* has for the option *declared*, in a tuple; None: it has none.

    Raises SettingsError: the value cannot work; the message names the variable.
    """
    kind: Kind = declared.metadata["kind"]
    for variable in environment_variables(declared):
        text = environ.get(variable, "").strip()
        if not text:
            continue
        origin = f" (from {variable})"
        try:
            return (checked(declared, kind.parse(text), origin),)
        except UnfitError as error:
            raise error.explain(declared.name, text, origin) from None
        except SettingsError as error:
            if not (isinstance(kind, Choice) and kind.is_lenient):
                raise
            _log.warning("hogline: %s; it is %r instead", error, declared.default)
            return (declared.default,)
    return None
