"""An issue as Markdown, for an issue tracker. Pure.

Content of events stands in code, where Markdown and HTML have no effect.
"""

from collections.abc import Sequence

from hogline_instance.errors.issues import Issue
from hogline_instance.errors.occurrences.facts import facts
from hogline_instance.errors.occurrences.queries import Totals
from hogline_instance.errors.stack import Failure
from hogline_instance.events.event import StoredEvent

__all__ = ["markdown"]

_MAX_FRAMES = 30


def markdown(issue: Issue, totals: Totals, event: StoredEvent | None, chain: Sequence[Failure], url: str) -> str:
    """Return the issue with the stack of one occurrence."""
    lines = [
        f"## {_code(issue.name)}",
        "",
        _code(issue.description) if issue.description else "",
        "",
        f"- {totals.occurrences} occurrences, {totals.users} people, {totals.sessions} sessions",
        f"- first seen {issue.first_seen:%Y-%m-%d %H:%M} UTC"
        + (f", last seen {totals.last_seen:%Y-%m-%d %H:%M} UTC" if totals.last_seen else ""),
        f"- status {issue.status}",
        f"- {url}",
    ]
    for failure in chain:
        frames = [
            f"  {frame.function} ({frame.file}{f':{frame.line}' if frame.line is not None else ''})"
            for run in failure.runs
            for frame in run.frames
        ]
        lines += ["", _fence([f"{failure.type}: {failure.value}", *frames[:_MAX_FRAMES]])]
    if event is not None:
        lines += ["", f"Occurrence {event.uuid} at {event.timestamp:%Y-%m-%d %H:%M:%S} UTC", ""]
        lines += [f"- {label}: {_code(value)}" for label, value in facts(event)]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    flat = " ".join(text.split()).replace("`", "'")
    return f"`{flat}`" if flat else ""


def _fence(lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0)
    fence = "`" * max(longest + 1, 3)
    return f"{fence}\n{text}\n{fence}"
