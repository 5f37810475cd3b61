"""Any Python value to JSON bytes.

A value that JSON cannot hold is rendered readably, or replaced with a marker.

orjson writes the types that it knows; `render` turns every other value into one of those. If
orjson refuses the whole event (a key that is no string, an integer over 64 bits, a lone surrogate,
a circle), `cleaned` rebuilds it. A value is written in the same way on both paths: `cleaned` reads
values as orjson does, past their classes, and asks the same `render`.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum, EnumType
from typing import Any

import orjson

from hogline.redaction.urls import redacted_path, redacted_query, without_userinfo

__all__ = ["OPTIONS", "cleaned", "render", "serialise"]

# orjson's own bound: a value that orjson writes must not be cut because it stands beside one that
# it refuses.
_MAX_DEPTH = 254
_SAFE_DEPTH = 32  # where the app's own stack leaves no room for more
_INT_64 = range(-(2**63), 2**64)
OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS
_CIRCLE = "<circular reference>"
_MISSING = frozenset({"NaT", "<NA>"})


def serialise(event: Mapping[str, Any]) -> bytes:
    """Return *event* as UTF-8 JSON, whatever is in it."""
    try:
        body = orjson.dumps(event, render, OPTIONS)
    except (TypeError, ValueError, RecursionError):
        body = orjson.dumps(cleaned(event), render, OPTIONS)
    # orjson's result is a larger buffer, cut down. Kept, as events in a queue are, each leaves a
    # hole that makes the next allocation search: 4 us for each event instead of the 0.2 us of this
    # copy (glibc, 800-byte events).
    return bytes(memoryview(body))


def cleaned(value: Any) -> Any:
    """Return *value* rebuilt from JSON's own types.

    Circles, excessive depth and unprintable parts become markers.
    """
    try:
        return _cleaned(value, _MAX_DEPTH, ())
    except RecursionError:
        return _cleaned(value, _SAFE_DEPTH, ())


def _cleaned(value: Any, room: int, around: tuple[int, ...]) -> Any:
    """Return *value* rebuilt.

    *room* is how many levels may follow, *around* the ids of the values that it stands in.
    """
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return _text(value)
    if kind is int:
        return value if value in _INT_64 else _digits(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if id(value) in around:
        return _CIRCLE
    if room <= 0:
        return f"<nested deeper than {len(around)}>"
    try:
        return _structure(value, kind, room, (*around, id(value)))
    except RecursionError:
        raise
    except Exception:
        return _marker(value)


def _structure(value: Any, kind: type, room: int, around: tuple[int, ...]) -> Any:
    """Return a value that is no plain text and no plain number, rebuilt.

    The order of the tests is orjson's.
    """
    if kind is tuple:
        return _array(value, room, around)
    if issubclass(type(kind), EnumType):
        return _cleaned(value.value, room, around)
    if issubclass(kind, str):
        return _text(str.__str__(value))
    if issubclass(kind, int):
        return _cleaned(int.__int__(value), room, around)
    if issubclass(kind, list):
        return _array(list.__iter__(value), room, around)
    if issubclass(kind, dict):
        rebuilt = {}
        for key, item in tuple(dict.items(value)):
            rebuilt[_key(key)] = _cleaned(item, room - 1, around)
        return rebuilt
    try:
        # This writes a time and a UUID.
        return orjson.loads(orjson.dumps(value, None, OPTIONS))
    except (TypeError, ValueError):
        rendered = render(value)
    # A value that renders itself as another of its kind, and so on, takes a level each time.
    is_leaf_kind = rendered is None or type(rendered) in (str, int, float, bool, dict, list)
    return _cleaned(rendered, room if is_leaf_kind else room - 1, around)


def _array(items: Iterable[Any], room: int, around: tuple[int, ...]) -> list[Any]:
    rebuilt = []
    for item in tuple(items):
        rebuilt.append(_cleaned(item, room - 1, around))  # noqa: PERF401 - a comprehension is one more frame for each level
    return rebuilt


def render(value: Any) -> Any:
    """Return something nearer to JSON for a *value* that orjson does not write. Never raises."""
    try:
        plain = _unwrapped(value)
        if plain is not value:
            return plain
        kind = type(value)
        for kinds, rendering in _renderings():
            if issubclass(kind, kinds):
                return rendering(value)
        return _render_object(value, kind)
    except Exception:
        return _marker(value)


def _unwrapped(value: Any) -> Any:
    """Return what a lazy *value* stands for.

    Examples are Django's `request.user` and werkzeug's `current_user`.
    """
    kind = type(value)
    if value.__class__ is kind:
        return value
    if hasattr(kind, "_setup") and hasattr(kind, "_wrapped"):  # django.utils.functional.LazyObject
        if type(value._wrapped) is object:  # noqa: SLF001 - Django has no public way to the object itself
            value._setup()  # noqa: SLF001
        return value._wrapped  # noqa: SLF001
    if hasattr(kind, "_get_current_object"):  # werkzeug.local.LocalProxy
        return object.__getattribute__(value, "_get_current_object")()
    if hasattr(kind, "__wrapped__"):  # wrapt, lazy_object_proxy
        return value.__wrapped__
    return value


def _render_object(value: Any, kind: type) -> Any:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if dataclasses.is_dataclass(kind):
        return _fields(value, [field.name for field in dataclasses.fields(kind)])
    if callable(dump := getattr(kind, "model_dump", None)):  # pydantic 2
        return dump(value)
    if hasattr(kind, "__attrs_attrs__"):
        return _fields(value, [attribute.name for attribute in kind.__attrs_attrs__])
    if callable(to_list := getattr(kind, "tolist", None)):  # numpy's and pandas' arrays and scalars
        if kind.__module__ == "numpy":
            from hogline.wire.numpy_values import plain_numpy  # most processes never send one

            return plain_numpy(value)
        return to_list(value)
    if "__str__" in _defined(kind) or "__repr__" in _defined(kind):
        text = _text(str(value))
        return None if text in _MISSING and kind.__module__.startswith("pandas.") else text
    return _marker(value)


def _fields(value: Any, names: list[str]) -> dict[str, Any]:
    """Return the fields of an object by *names*, without private ones.

    An ORM's object would ask its database for a field that is not in the object's own dict, so only
    those are read.
    """
    held = getattr(value, "__dict__", None)
    public = [name for name in names if not name.startswith("_")]
    if type(held) is dict and held:
        return {name: held[name] for name in public if name in held}
    return {name: getattr(value, name) for name in public if hasattr(value, name)}


def _mapping(value: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a mapping as a dict.

    A key that has several values, as in a form, has them as a list.
    """
    pairs = list(value.multi_items() if hasattr(type(value), "multi_items") else value.items())  # type: ignore[attr-defined]
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    several: dict[Any, list[Any]] = {}
    for key, item in pairs:
        several.setdefault(key, []).append(item)
    return {key: items if len(items) > 1 else items[0] for key, items in several.items()}


def _tuple(value: tuple[Any, ...]) -> list[Any]:
    """Return a named tuple, or another subclass, as a list.

    The parts of a URL that was split are returned without its secrets.
    """
    items = list(tuple.__iter__(value))
    if type(value).__module__ != "urllib.parse":
        return items
    return [_url_part(item, name) for item, name in zip(items, type(value)._fields, strict=True)]  # type: ignore[attr-defined]


def _url_part(part: Any, name: str) -> Any:
    text = part.decode("utf-8", "replace") if isinstance(part, bytes) else part
    if not isinstance(text, str):
        return text
    if name == "netloc":
        return without_userinfo(f"://{text}")[3:]
    if name in ("query", "fragment"):
        return redacted_query(text)
    return redacted_path(text) if name in ("path", "url") else text


def _defined(kind: type) -> set[str]:
    """Return which of `__str__` and `__repr__` *kind* or a base of it defines.

    `object` does not count.
    """
    return {
        name for base in kind.__mro__ if base is not object for name in ("__str__", "__repr__") if name in vars(base)
    }


def _bytes(value: bytes | bytearray | memoryview) -> str:
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"<{len(raw)} bytes>"


def _moment(value: Any) -> str | None:
    text = value.isoformat()
    return None if text in _MISSING else _text(text)


def _exception(value: BaseException) -> str:
    return f"{type(value).__qualname__}: {value}"


@functools.cache
def _renderings() -> tuple[tuple[Any, Any], ...]:
    """Return types and what they become, in this order: a set is iterable, a datetime is a date.

    The list is made on first use: most processes never send a Decimal, and its module is slow to
    import.
    """
    from collections import deque
    from decimal import Decimal
    from fractions import Fraction
    from uuid import UUID

    return (
        (float, float.__float__),
        (Decimal, lambda value: float(value) if value.is_finite() else None),
        (tuple, _tuple),
        ((set, frozenset, deque), list),
        (Mapping, _mapping),
        ((bytes, bytearray, memoryview), _bytes),
        ((datetime, date, time), _moment),
        (timedelta, timedelta.total_seconds),
        (Fraction, float),
        (Enum, lambda value: value.value),
        (UUID, str),
        (BaseException, _exception),
        (complex, str),
    )


def _key(key: Any) -> str:
    if type(key) is str:
        return _text(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    rendered = cleaned(key)
    return rendered if isinstance(rendered, str) else _text(str(rendered))


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        # These are lone surrogates. Two halves of a pair become their character, others U+FFFD.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than Python is willing to print
        return f"<integer of {value.bit_length()} bits>"


def _marker(value: Any) -> str:
    kind = type(value)
    return f"<{kind.__module__}.{kind.__qualname__}>"
