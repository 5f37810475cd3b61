"""The enabled rules of projects, read from SQL."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.errors.rules import Rule, RuleSet
from hogline_instance.errors.tables import RuleRow

__all__ = ["rule_sets"]


def rule_sets(session: Session, teams: set[int]) -> dict[int, RuleSet]:
    """Return the rules of each of *teams*, in one statement."""
    found: dict[int, list[Rule]] = {team: [] for team in teams}
    query = (
        select(RuleRow)
        .where(RuleRow.team_id.in_(teams), RuleRow.disabled_data.is_(None))
        .order_by(RuleRow.order_key, RuleRow.created_at, RuleRow.id)
    )
    for row in session.scalars(query):
        found[row.team_id].append(Rule(row.id, row.kind, row.filters, row.values))
    return {team: RuleSet(rules) for team, rules in found.items()}
