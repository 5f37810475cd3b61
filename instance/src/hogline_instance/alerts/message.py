"""One message of an alert: the occasions in it, the words about them, and its JSON. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hogline_instance.errors import CREATED, REOPENED, SPIKING

__all__ = ["MAX_LISTED", "Message", "Occasion", "example_message"]

MAX_LISTED = 20
"""The most occasions that a digest lists; the others are counted."""
_SPIKE_MINUTES = 5
_MAX_NAMED = 150
_TITLES = {
    CREATED: ("New issue", "new issues"),
    REOPENED: ("Regression", "regressions"),
    SPIKING: ("Spike", "spikes"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """An occasion as a message shows it."""

    kind: str
    issue_id: str
    url: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return `New issue`, `Regression` or `Spike`."""
        return _TITLES[self.kind][0]

    @property
    def name(self) -> str:
        """Return the issue's name on one line."""
        return _line(self.detail.get("name"))

    @property
    def description(self) -> str:
        """Return the issue's description on one line."""
        return _line(self.detail.get("description"))

    @property
    def facts(self) -> list[str]:
        """Return short facts about it, such as `release 2.4.0`."""
        release, severity = _line(self.detail.get("release")), _line(self.detail.get("severity"))
        found = [f"severity {severity}" if severity else "", f"release {release}" if release else ""]
        found += [_line(self.detail.get(name)) for name in ("environment", "library", "level")]
        if self.kind == SPIKING:
            found.append(
                f"{self.detail.get('count')} in {_SPIKE_MINUTES} minutes, {self.detail.get('baseline'):g} is usual"
            )
        return [each for each in found if each]

    def body(self) -> dict[str, Any]:
        """Return its part of the JSON."""
        own = self.detail
        spike = {"count": own.get("count"), "baseline": own.get("baseline"), "minutes": _SPIKE_MINUTES}
        return {
            "event": f"$error_tracking_issue_{self.kind}",
            "timestamp": own.get("at"),
            "issue": {
                "id": self.issue_id, "url": self.url, **{
                    name: own.get(name) or None for name in ("name", "description", "status", "severity", "assignee")
                },
            },
            "occurrence": {
                "uuid": own.get("event") or None, "handled": own.get("handled"), **{
                    name: own.get(name) or None for name in ("library", "release", "environment", "level")
                },
            },
            "spike": spike if self.kind == SPIKING else None,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The occasions that are sent together.

    *id* is the same in each attempt, so that a receiver can drop repetitions.
    """

    id: str
    alert_id: int
    alert_name: str
    alert_url: str
    project_id: int
    project_name: str
    occasions: tuple[Occasion, ...]
    """At most MAX_LISTED."""
    more: int = 0
    """How many further occasions there are."""
    is_test: bool = False

    @property
    def headline(self) -> str:
        """Return the message in one line."""
        project = _line(self.project_name)
        if len(self.occasions) == 1 and not self.more:
            [only] = self.occasions
            named = f"{only.name}: {only.description}" if only.description else only.name
            text = f"{only.title} in {project}: {named[:_MAX_NAMED]}"
        else:
            counts = Counter(each.kind for each in self.occasions)
            parts = [_counted(kind, counts[kind]) for kind in _TITLES if counts[kind]]
            if self.more:
                parts.append(f"{self.more} more")
            text = f"{', '.join(parts)} in {project}"
        return f"Test: {text}" if self.is_test else text

    def body(self) -> dict[str, Any]:
        """Return the JSON of a webhook."""
        return {
            "id": self.id,
            "test": self.is_test,
            "alert": {"id": self.alert_id, "name": self.alert_name, "url": self.alert_url},
            "project": {"id": self.project_id, "name": self.project_name},
            "occasions": [each.body() for each in self.occasions],
            "more": self.more,
        }


def issue_url(base_url: str, project_id: int, issue_id: str) -> str:
    """Return the URL of an issue's page, which opens in its own project."""
    return f"{base_url}/issue/{quote(issue_id, safe='')}?project={project_id}"


def alert_url(base_url: str, project_id: int, alert_id: int) -> str:
    """Return the URL of an alert's page."""
    return f"{base_url}/alerts/{alert_id}?project={project_id}"


def example_message(
    *, message_id: str, base_url: str, alert: tuple[int, str], project: tuple[int, str], at: str
) -> Message:
    """Return the message of the test button, about an issue that does not exist."""
    detail = {
        "at": at, "name": "ExampleError", "description": "This is a test of the alert.", "severity": None, "status": "active",
        "assignee": None, "event": "", "library": "hogline", "release": "1.0.0", "environment": "test", "level": "error",
        "handled": False, "count": 0, "baseline": 0.0,
    }  # fmt: skip
    issue_id = "00000000-0000-0000-0000-000000000000"
    return Message(
        id=message_id, alert_id=alert[0], alert_name=alert[1], alert_url=alert_url(base_url, project[0], alert[0]),
        project_id=project[0], project_name=project[1], is_test=True,
        occasions=(Occasion(kind=CREATED, issue_id=issue_id, url=f"{base_url}/issues?project={project[0]}", detail=detail),),
    )  # fmt: skip


def _counted(kind: str, many: int) -> str:
    one, several = _TITLES[kind]
    return f"1 {one.lower()}" if many == 1 else f"{many} {several}"


def _line(value: object) -> str:
    """Return *value* as one line without control characters."""
    text = " ".join(str(value or "").split())
    return "".join(character for character in text if character.isprintable())
