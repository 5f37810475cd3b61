"""The suppression rules that posthog-js applies itself, so that it sends less.

Source: docs/internals/instance-protocol.md#suppression-in-the-browser.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from hogline_instance.db import Database
from hogline_instance.errors.rule_editing import full_suppressions

__all__ = ["BrowserRules", "browser_rule"]

_log = logging.getLogger("hogline.instance")
_MAX_AGE_S = 5.0
_MAX_PROJECTS = 10_000
_KEYS = frozenset({"$exception_types", "$exception_values"})
# posthog-js compares `is_not` with the case of letters, and reads numbers from the beginning of a
# text: with `is_not`, `gt` and `lt` it would drop exceptions that the instance keeps.
_OPERATORS = frozenset({"exact", "icontains", "not_icontains", "regex", "not_regex"})
_NOTHING: Sequence[Mapping[str, Any]] = ()


def browser_rule(filters: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return *filters* as posthog-js applies them, or None when it must leave the rule to the instance.

    posthog-js knows one level of filters over types and messages. It takes a rule without a filter
    for one that matches everything.
    """
    kind, values = filters.get("type", "AND"), filters.get("values", ())
    known = [
        {**entry, "operator": operator}
        for entry in values
        if (operator := entry.get("operator") or "exact") in _OPERATORS and entry.get("key") in _KEYS
    ]
    if not known or (kind == "AND" and len(known) < len(values)):
        return None
    return {"type": kind, "values": known}


class BrowserRules:
    """Rules of projects, read again after five seconds: every page load asks for them."""

    def __init__(self, database: Database, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock_s = clock_s
        self._known: dict[int, tuple[float, Sequence[Mapping[str, Any]]]] = {}

    async def config(self, project_id: int | None, shared: Mapping[str, object]) -> dict[str, object]:
        """Return the key `errorTracking` of posthog-js's config; *shared* is the rest of the config."""
        rules = _NOTHING
        if project_id is not None:
            read_at_s, rules = self._known.get(project_id, (float("-inf"), _NOTHING))
            if self._clock_s() - read_at_s >= _MAX_AGE_S:
                rules = await asyncio.to_thread(self._read, project_id, rules)
        return {
            "autocaptureExceptions": shared.get("autocaptureExceptions", False),
            "suppressionRules": rules,
            "captureExtensionExceptions": False,
        }

    def _read(self, project_id: int, rules: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        try:
            with self._database.session() as session:
                found = full_suppressions(session, project_id)
            rules = [rule for filters in found if (rule := browser_rule(filters)) is not None]
        except SQLAlchemyError as error:
            _log.warning("errors: reading suppression rules failed: %s", str(error)[:300])
        if len(self._known) >= _MAX_PROJECTS:
            self._known.clear()
        self._known[project_id] = (self._clock_s(), rules)
        return rules
