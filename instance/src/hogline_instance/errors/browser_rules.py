"""The suppression rules that posthog-js applies itself, so that it sends less."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from hogline_instance.db import Database
from hogline_instance.errors.rules_api import browser_rules

__all__ = ["BrowserRules"]

_log = logging.getLogger("hogline.instance")
_MAX_AGE_S = 5.0
_MAX_PROJECTS = 10_000


class BrowserRules:
    """Rules of projects, read again after five seconds: every page load asks for them."""

    def __init__(self, database: Database, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock_s = clock_s
        self._known: dict[int, tuple[float, Sequence[Mapping[str, Any]]]] = {}

    def of(self, project_id: int) -> Sequence[Mapping[str, Any]]:
        """Return the rules of a project. May ask SQL: call it in a thread."""
        read_at_s, rules = self._known.get(project_id, (float("-inf"), ()))
        if self._clock_s() - read_at_s < _MAX_AGE_S:
            return rules
        try:
            with self._database.session() as session:
                rules = browser_rules(session, project_id)
        except SQLAlchemyError as error:
            _log.warning("errors: reading suppression rules failed: %s", str(error)[:300])
        if len(self._known) >= _MAX_PROJECTS:
            self._known.clear()
        self._known[project_id] = (self._clock_s(), rules)
        return rules
