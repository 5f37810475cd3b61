"""The step that drops events of deleted projects, and `$ip` where a project anonymises addresses."""

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.events.event import StoredEvent
from hogline_instance.pipeline import Batch
from hogline_instance.projects.tables import ProjectRow

__all__ = ["ProjectStep"]

_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ProjectStep:
    """Runs before the other steps, so that none of them sees an event of a deleted project."""

    def apply(self, batch: Batch, session: Session) -> None:
        """Drop and anonymise; one SQL statement."""
        wanted = {row.team_id for row in batch.rows}
        rows = session.execute(select(ProjectRow.id, ProjectRow.settings).where(ProjectRow.id.in_(wanted)))
        found = {team: settings or {} for team, settings in rows}
        if len(found) < len(wanted):
            batch.drop(lambda row: row.team_id not in found, "the project was deleted")
        anonymous = {team for team, settings in found.items() if settings.get("anonymize_ips") is True}
        if anonymous:
            for row in batch.rows:
                if row.team_id in anonymous:
                    _remove_ip(row)


def _remove_ip(row: StoredEvent) -> None:
    text = bytes(row.raw_properties)
    if b"ip" not in text and b"\\u" not in text:  # a name may be written with escapes
        return
    try:
        properties = _decoder.decode(text)
    except msgspec.MsgspecError:
        return
    if properties.pop("$ip", None) is not None:
        # The other values keep the bytes that the client sent.
        row.replace_properties(msgspec.json.encode(properties))
