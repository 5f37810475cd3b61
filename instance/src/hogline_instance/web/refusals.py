"""Refusals: the answer to values that no code of a feature expected.

A number that no column holds, or a list where a name is looked up, is the client's mistake, wherever
in a handler it shows. Other errors of these types are ours, and stay errors.
"""

from fastapi import Request
from sqlalchemy.exc import DataError

from hogline_instance.web.errors import ApiError, bad_request, not_found

__all__ = ["refusal_of"]

_LARGEST_ID = 2**31 - 1  # of a column of PostgreSQL


def refusal_of(error: Exception, request: Request) -> ApiError | None:
    """Return the answer to *request*, whose values a handler failed at with *error*.

    None: its values do not explain the error.
    """
    if isinstance(error, OverflowError | DataError):
        if any(_is_impossible_id(str(value)) for value in request.path_params.values()):
            return not_found()
        return bad_request("", "a number or a time of the request is out of range")
    if isinstance(error, TypeError) and str(error).startswith("unhashable type"):
        return bad_request("", "a list or an object stands where the request must have a text or a number")
    if isinstance(error, UnicodeEncodeError):
        return bad_request("", "a text of the request is not valid Unicode")
    if isinstance(error, RecursionError) or (isinstance(error, TypeError) and str(error) == "Recursion limit reached"):
        return bad_request("", "the request is nested too deeply")
    return None


def _is_impossible_id(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and (len(digits) > len(str(_LARGEST_ID)) or int(digits) > _LARGEST_ID)
