"""numpy's scalars and arrays to Python's values, without importing numpy.

orjson's own option for numpy is not used: with it, orjson (3.13 too) ends the whole process on a
`datetime64` of the unit of months before 1970, and its older versions do so on more values.
"""

from typing import Any

__all__ = ["plain_numpy"]


def plain_numpy(value: Any) -> Any:
    """Return numpy's scalar or array *value* as Python's own, with the digits that numpy prints."""
    kind, size = value.dtype.kind, value.dtype.itemsize
    if kind not in "fcmM" or (kind == "f" and size == 8):
        return value.tolist()
    if value.ndim:
        return [plain_numpy(item) for item in value]
    if kind == "f":
        return float(str(value))  # A float32 of 1.1 is 1.1; its `tolist()` is 1.100000023841858.
    if kind == "c":
        return complex(value)
    return _plain_time(value)


def _plain_time(value: Any) -> Any:
    """Return a `datetime64` as a datetime, a `timedelta64` as seconds, and NaT as None.

    `tolist()` gives plain integers for some units. Where the fine unit cannot hold the value, the
    text that numpy prints is returned.
    """
    if value != value:  # noqa: PLR0124 - NaT alone differs from itself, and numpy is not imported here
        return None
    is_point = value.dtype.kind == "M"
    try:
        fine = value.astype("datetime64[us]" if is_point else "timedelta64[ns]")
        fits = fine.astype(value.dtype) == value
    except OverflowError:  # numpy 2.5 raises it where numpy 2.4 lets the number overflow.
        fits = False
    if not fits:
        return str(value)
    if not is_point:
        return int(fine.astype("int64")) / 1e9
    point = fine.tolist()
    return str(value) if type(point) is int else point  # Python's years end at 9999.
