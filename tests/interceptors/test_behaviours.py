"""Every behaviour has a test that names it, or a reason why not."""

from tests.support.behaviours import ELSEWHERE, ROWS, shown

NUMBERS = [number for rows in ROWS.values() for number in rows]


def test_no_row_is_without_a_test_or_a_reason():
    """A row that lost its last test shows up here."""
    tested = shown()
    missing = [number for number in NUMBERS if not tested.get(number) and number not in ELSEWHERE]
    assert missing == []


def test_tests_name_only_rows_that_exist():
    """And every number stands once in the table."""
    assert list(range(1, len(NUMBERS) + 1)) == NUMBERS
    assert set(shown()) <= set(NUMBERS)


def test_excuses_are_no_longer_needed_where_there_are_tests():
    """A row with a reason why it has no test has none."""
    assert [number for number in ELSEWHERE if shown().get(number)] == []
