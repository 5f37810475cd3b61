"""The configurations of a project's error tracking, with their defaults and bounds."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.errors.tables import ConfigRow

__all__ = ["DEFAULTS", "RATE_LIMITS", "SOURCE_MAPS", "SPIKES", "ConfigError", "config_of", "configs", "save_config"]

RATE_LIMITS, SPIKES, SOURCE_MAPS = "rate_limit", "spike_detection", "source_maps"
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    RATE_LIMITS: {
        "project_rate_limit_value": None,
        "project_rate_limit_bucket_size_minutes": 60,
        "per_issue_rate_limit_value": None,
        "per_issue_rate_limit_bucket_size_minutes": 60,
    },
    # Source: docs/internals/instance-protocol.md#error-rules-and-spikes.
    SPIKES: {"threshold": 500, "multiplier": 10, "snooze_duration_minutes": 10},
    SOURCE_MAPS: {"hosts": []},
}
_MAX_NUMBER = 1_000_000_000
_MAX_HOSTS = 100
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class ConfigError(ValueError):
    """A value cannot be used; *name* is its field."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


def configs(session: Session, name: str, teams: set[int]) -> dict[int, dict[str, Any]]:
    """Return the configuration *name* of the projects that have set one."""
    rows = session.scalars(select(ConfigRow).where(ConfigRow.name == name, ConfigRow.team_id.in_(teams)))
    return {row.team_id: {**DEFAULTS[name], **row.values} for row in rows}


def config_of(session: Session, name: str, project_id: int) -> dict[str, Any]:
    """Return a project's configuration *name*, or the defaults."""
    return configs(session, name, {project_id}).get(project_id) or dict(DEFAULTS[name])


def save_config(session: Session, name: str, project_id: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Change the *given* values, and return the whole configuration. Raises ConfigError."""
    values = config_of(session, name, project_id)
    for key, value in given.items():
        if key in values:
            values[key] = _checked(key, value, DEFAULTS[name][key])
    row = session.get(ConfigRow, (project_id, name))
    if row is None:
        session.add(ConfigRow(team_id=project_id, name=name, values=values))
    else:
        row.values = values
    return values


def _checked(key: str, value: Any, default: Any) -> Any:
    if isinstance(default, list):
        if not isinstance(value, list) or len(value) > _MAX_HOSTS:
            raise ConfigError(key, f"{key} must be a list of up to {_MAX_HOSTS} host names")
        for each in value:
            if not isinstance(each, str) or not _HOST.fullmatch(each):
                raise ConfigError(
                    key, f"{key} are names such as cdn.example.com, without a path, got {str(each)[:100]!r}"
                )
        return [each.lower() for each in dict.fromkeys(value)]
    if value is None and default is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= _MAX_NUMBER:
        raise ConfigError(key, f"{key} must be a number of at least 1, got {str(value)[:50]!r}")
    return value if key == "multiplier" else int(value)
