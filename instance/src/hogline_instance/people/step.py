"""Give each event its person and its groups: one pass over a batch, a fixed number of SQL statements.

Source: docs/internals/instance-protocol.md#persons-identity-and-groups.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from hogline_instance.people.intake import REJECTABLE, Intake
from hogline_instance.people.remembered import RememberedPeople
from hogline_instance.people.state import Merge, People
from hogline_instance.people.warnings import save_warnings
from hogline_instance.pipeline import Batch

__all__ = ["OnMerge", "PeopleStep"]

OnMerge = Callable[[Session, Sequence[Merge]], None]
"""Called in the batch's transaction with all its merges, in order."""
REJECTED = "identity events with $process_person_profile false are dropped"


class PeopleStep:
    """Finds, creates, updates and merges the people of a batch's events.

    *on_merge* moves what other features keep under a person's id. *publish* is called after the
    commit of a batch that moved ids, and tells the store; a job repeats what it could not do.
    *remembered_max_bytes* bounds the memory for people of earlier batches.
    """

    def __init__(
        self,
        on_merge: Sequence[OnMerge] = (),
        publish: Callable[[], object] | None = None,
        *,
        remembered_max_bytes: int = 0,
    ) -> None:
        self._on_merge = tuple(on_merge)
        self._publish = publish
        self._remembered_max_bytes = remembered_max_bytes
        # Whom the last committed batch left; None while a batch is processed.
        self._remembered: RememberedPeople | None = None

    def apply(self, batch: Batch, session: Session) -> None:
        """Process *batch*."""
        remembered, self._remembered = self._remembered, None
        if remembered is None or not batch.follows:
            remembered = RememberedPeople(self._remembered_max_bytes)
        intake = Intake(session, batch.rows, remembered=remembered)
        intake.run()
        if not batch.is_repeated:
            intake.save()
            save_warnings(session, intake.warnings)
            if intake.people.merges:
                for react in self._on_merge:
                    react(session, intake.people.merges)
            if self._publish is not None and intake.people.has_moves:
                batch.after_commit.append(self._publish)
            batch.after_commit.append(lambda: self._remember(remembered, intake.people))
        if intake.has_rejected:
            batch.drop(lambda row: row.person_mode == "propertyless" and row.event in REJECTABLE, REJECTED)

    def _remember(self, remembered: RememberedPeople, people: People) -> None:
        remembered.add(people)
        self._remembered = remembered
