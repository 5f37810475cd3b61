"""The options of each queue's `PostHogPropagation`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hogline.settings.client import ClientOption
from hogline.settings.options import (
    Bytes,
    ExceptionClasses,
    Names,
    Switch,
    check_options,
    known_options,
    option,
)

__all__ = ["TaskSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """The options that every queue's `PostHogPropagation` takes.

    Raises SettingsError: a value that cannot work.
    """

    client: Any = option(
        ClientOption(),
        None,
        "Where the tasks' exceptions go; the default client when None. Context serves every client.",
    )
    capture_exceptions: bool = option(
        Switch(), True, "Capture what a task raises, once, when no further attempt follows."
    )
    every_attempt: bool = option(
        Switch(), False, "Capture what an attempt raises also when the task will be tried again."
    )
    ignore: Sequence[type[BaseException]] = option(
        ExceptionClasses(), (), "Exception classes that are never captured, subclasses included."
    )
    tags: Sequence[str] = option(
        Names("the names of tags"), (), "Names of the context's tags that travel with a task; the others stay behind."
    )
    max_carrier_bytes: int = option(
        Bytes(256), 4096, "Bytes that are added to a message at most; properties that do not fit are left out."
    )

    def __post_init__(self) -> None:
        check_options(self)

    @classmethod
    def load(cls, options: Mapping[str, Any]) -> "TaskSettings":
        """Return the settings of a queue's keyword *options*.

        Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot
        work.
        """
        known_options(cls, "PostHogPropagation", options)
        return cls(**options)
