"""Read untrusted JSON, with numbers that common parsers refuse turned into text.

Sources: RFC 8259 section 6 lets a parser limit the range of numbers; Python refuses integers of
over 4,300 digits, and a number beyond 1.8e308 becomes infinite, which JSON cannot express.
"""

import json
import math
import re
from typing import Any

from hogline.wire.values import serialise
from hogline_instance.ingest.bodies import BodyError

__all__ = ["read_json", "readable"]

_MAX_DIGITS = 300
# Digits become 0 and a plus is removed, so that two searches for constant bytes find the few
# texts that may hold such a number.
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * _MAX_DIGITS
_LARGE_EXPONENT = b"e000"
_UNREADABLE = re.compile(rb"[:\[,\s]-?(?:[0-9]{300}|[0-9]+(?:\.[0-9]+)?[eE]\+?[0-9]{3})")


def read_json(text: bytes) -> Any:
    """Return the value of *text*. Raises BodyError: it is not JSON.

    NaN becomes null, as JSON.stringify writes it; lone surrogates and broken UTF-8 are tolerated.
    An integer of over 300 digits and a float beyond the largest are kept as text.
    """
    try:
        return json.loads(
            text.decode("utf-8", "replace").removeprefix("\ufeff"), parse_int=_integer, parse_float=_float, parse_constant=_none
        )  # fmt: skip
    except RecursionError:
        raise BodyError("the body's JSON is nested too deeply") from None
    except ValueError as error:
        raise BodyError(f"the body is not JSON: {error}") from None


def readable(text: bytes) -> bytes:
    """Return the JSON object *text*, with numbers that parsers refuse turned into strings."""
    plain = text.translate(_DIGITS_TO_ZERO, b"+")
    if (_MANY_DIGITS in plain or _LARGE_EXPONENT in plain) and _UNREADABLE.search(text):
        return serialise(read_json(text))
    return text


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits[:100]


def _none(_name: str) -> None:
    return None
