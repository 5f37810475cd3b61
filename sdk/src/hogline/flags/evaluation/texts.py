"""Property values as texts, to compare them.

They are rendered as the server renders JSON, because the server compares those texts.
"""

import math
from decimal import Decimal
from typing import Any

import orjson

__all__ = ["ascii_lower", "boolean_like", "number", "truth", "value_text"]

_UPPER_TO_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_NUMBER_CHARACTERS = frozenset("0123456789+-.eE")


def value_text(value: Any) -> str | None:
    """Return *value* as text: a string as it is, anything else as compact JSON with sorted keys.

    The result is None if JSON has no such value.
    """
    if type(value) is str:
        return value
    try:
        return _json(value, bare=True)
    except (TypeError, ValueError, RecursionError):  # lone surrogates, thousands of digits, circles
        return None


def _json(value: Any, *, bare: bool = False) -> str | None:
    if isinstance(value, str):
        return value if bare else orjson.dumps(value).decode()
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _float(value) if math.isfinite(value) else None
    if isinstance(value, list):
        parts = [_json(item) for item in value]
        return None if None in parts else "[" + ",".join(part for part in parts if part is not None) + "]"
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        members = {key: _json(value[key]) for key in sorted(value)}
        if None in members.values():
            return None
        return "{" + ",".join(f"{orjson.dumps(key).decode()}:{text}" for key, text in members.items()) + "}"
    return None


def _float(value: float) -> str:
    """Return *value* with the fewest digits that mean it.

    From 1e-5 up it has no exponent, as in Rust's JSON.
    """
    text = repr(float(value))
    mantissa, has_exponent, exponent = text.partition("e")
    if not has_exponent:
        return text
    power = int(exponent)
    if -6 < power < 0:
        return format(Decimal(text), "f")
    return f"{mantissa}e{power:+d}"


def ascii_lower(text: str) -> str:
    """Return *text* with A to Z in lower case, and every other character as it is."""
    return text.lower() if text.isascii() else text.translate(_UPPER_TO_LOWER)


def boolean_like(value: Any) -> bool:
    """Return whether *value* is a boolean, a text of one, or a list of such."""
    if isinstance(value, bool):
        return True
    if isinstance(value, str):
        return value.lower() in ("true", "false")
    return isinstance(value, list) and all(map(boolean_like, value))


def truth(value: Any) -> bool:
    """Return whether *value* is true, "true", or a list of nothing else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.lower() == "true"
    return isinstance(value, list) and all(map(truth, value))


def number(value: Any) -> float | None:
    """Return *value* as a finite number; None: it is none.

    Texts count where they are plain decimal numbers. Bools never count.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    if isinstance(value, str) and not _NUMBER_CHARACTERS.issuperset(value):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) else None
