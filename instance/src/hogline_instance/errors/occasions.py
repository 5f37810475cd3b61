"""Occasions to tell somebody about an issue: it is new, it came back, or it spikes.

Features above this one are told in the transaction that makes the occasion (`OnOccasions`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

__all__ = ["CREATED", "REOPENED", "SPIKING", "IssueOccasion", "OnOccasions"]

CREATED, REOPENED, SPIKING = "created", "reopened", "spiking"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueOccasion:
    """One occasion of an issue, with the event that made it."""

    kind: str
    """CREATED, REOPENED or SPIKING."""
    key: str
    """Unique in the instance, and the same when a batch is processed again."""
    project_id: int
    issue_id: str
    name: str
    description: str
    severity: str | None
    status: str
    """The status of the issue before the occasion."""
    assignee: str | None
    at: datetime
    event_uuid: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """The properties of the event, with the derived ones."""
    count: int = 0
    """Of a spike: the occurrences in its last bucket."""
    baseline: float = 0.0


OnOccasions = Callable[[Session, Sequence[IssueOccasion]], None]
"""A function that is called with new occasions, in their transaction."""
