"""Give each `$exception` event its issue: one pass over a batch, a fixed number of SQL statements.

Source: docs/internals/instance-protocol.md#order-of-work.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from hogline_instance.db import utc_now
from hogline_instance.errors.intake import Intake
from hogline_instance.errors.occasions import OnOccasions
from hogline_instance.errors.prepared import Prepared, prepare
from hogline_instance.errors.rate_limits import apply_rate_limits
from hogline_instance.errors.releases import named_releases
from hogline_instance.errors.rule_sets import rule_sets
from hogline_instance.errors.rules import RuleSet, sampled_out
from hogline_instance.errors.source_maps.resolver import SymbolResolver
from hogline_instance.errors.tables import RuleRow
from hogline_instance.pipeline import Batch

__all__ = ["ErrorStep"]

SUPPRESSED_BY_RULE = "exceptions suppressed by a rule are dropped"
SUPPRESSED_ISSUE = "exceptions of a suppressed issue are dropped"
RATE_LIMITED = "exceptions beyond a rate limit are dropped"


class ErrorStep:
    """Normalises the exceptions of a batch, finds or creates their issues, and drops the unwanted.

    *on_occasions* are called in the batch's transaction with issues that are new or came back.
    """

    def __init__(self, symbols: SymbolResolver, on_occasions: Sequence[OnOccasions] = ()) -> None:
        self._symbols = symbols
        self._on_occasions = tuple(on_occasions)

    def apply(self, batch: Batch, session: Session) -> None:
        """Process the `$exception` events of *batch*."""
        events = [row for row in batch.rows if row.event == "$exception"]
        if not events:
            return
        rules = rule_sets(session, {event.team_id for event in events})
        resolve = self._symbols.for_events(session, events)
        release_of = named_releases(session, events)
        prepared = [prepare(event, resolve(event), release_of(event)) for event in events]
        self._symbols.note_used(session)
        dropped: dict[str, str] = {}
        grouped = [each for each in _unsuppressed(prepared, rules, dropped) if not each.errors]
        for each in grouped:
            each.choose(rules[each.event.team_id])
        intake = Intake(session, grouped, rules)
        intake.run()
        if intake.occasions:
            for tell in self._on_occasions:
                tell(session, intake.occasions)
        for each in grouped:
            if intake.is_suppressed(each):
                dropped[each.event.uuid] = SUPPRESSED_ISSUE
        wanted = [each for each in grouped if each.event.uuid not in dropped]
        for each in apply_rate_limits(session, wanted, rules, intake.issue_of):
            dropped[each.event.uuid] = RATE_LIMITED
        for each in prepared:
            if each.event.uuid not in dropped:
                each.write(intake.issue_of(each) if not each.errors else "")
        _disable_broken(session, rules.values())
        for reason in dict.fromkeys(dropped.values()):
            batch.drop(_dropped_for(dropped, reason), reason)


def _dropped_for(dropped: Mapping[str, str], reason: str) -> Any:
    return lambda row: row.event == "$exception" and dropped.get(row.uuid) == reason


def _unsuppressed(
    prepared: Iterable[Prepared], rules: Mapping[int, RuleSet], dropped: dict[str, str]
) -> Sequence[Prepared]:
    kept = []
    for each in prepared:
        rule = each.matching(rules[each.event.team_id], "suppression")
        share = rule.values.get("sampling_rate") if rule is not None else None
        if rule is not None and (share is None or sampled_out(each.event.uuid, float(share))):
            dropped[each.event.uuid] = SUPPRESSED_BY_RULE
        else:
            kept.append(each)
    return kept


def _disable_broken(session: Session, rules: Iterable[RuleSet]) -> None:
    broken = [(rule_id, text) for each in rules for rule_id, text in each.broken.items()]
    if broken:
        session.execute(
            update(RuleRow),
            [
                {"id": rule_id, "disabled_data": {"message": text, "at": utc_now().isoformat()}}
                for rule_id, text in broken
            ],
        )
