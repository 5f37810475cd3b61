"""Overrides: values that flags are forced to, for tests and local work.

They come from code, the environment, or a file.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import orjson

from hogline.exceptions import SettingsError
from hogline.flags.results import ForcedRecord
from hogline.settings import ClientSettings

__all__ = ["Override", "Overrides", "forced"]

_log = logging.getLogger("hogline")
_LOOK_EVERY_S = 1.0
_WORDS = {"true": True, "on": True, "false": False, "off": False}


def forced(given: Mapping[str, Any] | Iterable[str] | str) -> dict[str, ForcedRecord]:
    """Return the records for *given*.

    It is a mapping of keys to values, a list of keys that are on, or a text of either.

    A value is True, False, a variant, or `{"value": ..., "payload": ...}`.
    Raises SettingsError: *given* is something else.
    """
    if isinstance(given, str):
        given = _parsed(given)
    if not isinstance(given, Mapping):
        given = dict.fromkeys(given, True)
    return {str(key): _record(str(key), value) for key, value in given.items()}


def _record(key: str, value: Any) -> ForcedRecord:
    payload = None
    if isinstance(value, Mapping):
        value, payload = value.get("value", True), value.get("payload")
    if not isinstance(value, bool | str):
        raise SettingsError(
            f"flag {key!r} can be forced to True, False or a variant's name, or to {{'value': ..., 'payload': ...}}, got {value!r}"
        )
    return ForcedRecord(value, payload)


def _parsed(text: str) -> Mapping[str, Any]:
    if not text.lstrip().startswith("{"):
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        return {
            key.strip(): _WORDS.get(value.strip().lower(), value.strip()) if equals else True
            for key, equals, value in pairs
        }
    try:
        mapping: Mapping[str, Any] = orjson.loads(text)
    except ValueError as error:
        raise SettingsError(
            f"flag overrides must be JSON, or like 'new-shop,theme=dark,old-shop=false', got {text!r}"
        ) from error
    return mapping


class Overrides:
    """All forced values of a client. Code wins over the option, and the option over the file."""

    def __init__(self, settings: ClientSettings) -> None:
        self._file = settings.flag_overrides_file
        self._from_file: dict[str, ForcedRecord] = {}
        self._file_version: tuple[int, int] | None = None
        self._looked_at_s = 0.0
        self._from_option = forced(settings.flag_overrides) if settings.flag_overrides else {}
        self._from_code: list[dict[str, ForcedRecord]] = []
        self._merged: dict[str, ForcedRecord] = {}
        self._merge()

    def current(self) -> Mapping[str, ForcedRecord]:
        """Return the values that are forced now."""
        if self._file is not None and time.monotonic() - self._looked_at_s >= _LOOK_EVERY_S:
            self._read_file(self._file)
        return self._merged

    def add(self, records: dict[str, ForcedRecord]) -> None:
        """Force *records*; they win over earlier ones."""
        self._from_code.append(records)
        self._merge()

    def remove(self, records: dict[str, ForcedRecord]) -> None:
        """Remove what `add` added."""
        self._from_code = [one for one in self._from_code if one is not records]
        self._merge()

    def clear(self) -> None:
        """Remove everything that code has added."""
        self._from_code = []
        self._merge()

    def _merge(self) -> None:
        merged = {**self._from_file, **self._from_option}
        for records in self._from_code:
            merged.update(records)
        self._merged = merged

    def _read_file(self, path: str) -> None:
        self._looked_at_s = time.monotonic()
        try:
            found = os.stat(path)  # noqa: PTH116
            version = (found.st_mtime_ns, found.st_size)
            if version == self._file_version:
                return
            self._file_version = version
            with open(path, encoding="utf-8") as file:  # noqa: PTH123
                self._from_file = forced(file.read())
        except FileNotFoundError:
            self._from_file, self._file_version = {}, None
        except (OSError, ValueError) as error:  # perhaps half written: the previous values stay
            _log.warning("hogline: flag overrides in %s cannot be read: %s", path, error)
        self._merge()


class Override:
    """Values that are forced from now on, or for a `with` block."""

    def __init__(self, overrides: Overrides, records: dict[str, ForcedRecord]) -> None:
        self._overrides = overrides
        self._records = records
        overrides.add(records)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Stop forcing these values."""
        self._overrides.remove(self._records)
