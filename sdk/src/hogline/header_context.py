"""A context from the headers of a request, for code that runs outside the request's own."""

from collections.abc import Iterable, Mapping

from hogline.context import FixedOrigin, Scope
from hogline.facts.tracing import DISTINCT_ID, SESSION_ID, WINDOW_ID, usable

__all__ = ["context_from_headers"]

_NAMES = frozenset({DISTINCT_ID, SESSION_ID, WINDOW_ID})


def context_from_headers(
    headers: Mapping[str, str] | Iterable[tuple[str, str]], *, identity_headers: bool = True
) -> Scope:
    """Return a `with` block whose events belong to the visitor that a request's *headers* name.

    It inherits nothing. *headers* are a mapping or pairs; their names may have any case. Without
    *identity_headers*, `X-POSTHOG-DISTINCT-ID` is not read, as with the interceptors' option.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, list[str]] = {name: [] for name in _NAMES}
    for name, value in pairs:
        if isinstance(name, str) and isinstance(value, str) and (lower := name.lower()) in _NAMES:
            found[lower].append(value)
    window_id = usable(found[WINDOW_ID])
    return Scope(
        fresh=True,
        origin=FixedOrigin(
            usable(found[DISTINCT_ID]) if identity_headers else None,
            usable(found[SESSION_ID]),
            {"$window_id": window_id} if window_id is not None else {},
        ),
    )
