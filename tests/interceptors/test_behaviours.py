"""Every rule in the list of what tests show has a test that is marked with it, or a reason
why not.
"""

from tests.support.behaviours import ELSEWHERE, rules, shown

NAMES = [name for group in rules().values() for name in group]


def test_no_rule_is_without_a_test_or_a_reason():
    """A rule that lost its last test shows up here."""
    tested = shown()
    assert [name for name in NAMES if name not in tested and name not in ELSEWHERE] == []


def test_tests_name_only_rules_that_exist():
    """Each rule stands once in the list."""
    assert len(NAMES) == len(set(NAMES)) >= 81
    assert set(shown()) - set(NAMES) == set()


def test_excuses_are_no_longer_needed_where_there_are_tests():
    """A rule with a reason why it has no test has none."""
    assert [name for name in ELSEWHERE if name in shown()] == []
