"""The type of a property, from its name and a value.

Source: docs/internals/instance-protocol.md#property-definitions.
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

__all__ = ["detect_type"]

_STRING_PREFIXES = ("utm_", "$initial_utm_", "$feature/", "$survey_response")
_TIME_WORDS = ("time", "date", "_at", "-at", "createdat", "updatedat")
_BOOLEANS = frozenset({"true", "false", "TRUE", "FALSE"})
_DATE = re.compile(
    r"(\d{4}[-/]\d{2}[-/]\d{2}|\d{2}[-/]\d{2}[-/]\d{4})([ T]\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})?)?"
)
_MAX_DATE_CHARS = 40
_RECENT = timedelta(days=183)


def detect_type(name: str, value: object) -> str | None:
    """Return `String`, `Numeric`, `Boolean`, `DateTime`, or None for an unknown type."""
    if name.startswith(_STRING_PREFIXES) or name == "$feature_flag_response":
        return "String"
    if any(word in name.lower() for word in _TIME_WORDS) and _is_moment(value):
        return "DateTime"
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int | float):
        return "Numeric"
    if not isinstance(value, str):
        return None
    if value in _BOOLEANS:
        return "Boolean"
    return "DateTime" if _is_date(value) else "String"


def _is_moment(value: object) -> bool:
    if isinstance(value, str):
        if not value.isascii() or not value.isdigit() or len(value) > 13:
            return _is_date(value)
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value >= (datetime.now(UTC) - _RECENT).timestamp()


def _is_date(text: str) -> bool:
    if len(text) > _MAX_DATE_CHARS:
        return False
    text = text.strip()
    if _DATE.fullmatch(text):
        return True
    if "," not in text:
        return False
    try:
        parsedate_to_datetime(text)
    except ValueError:
        return False
    return True
