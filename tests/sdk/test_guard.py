"""The guard swallows what must not reach the host app, and the throttled log says so without
filling the app's log.
"""

import asyncio
import logging

import pytest

from hogline.guard import guard
from hogline.log_throttle import ONCE, ThrottledLog


def test_an_exception_is_reported_and_goes_no_further():
    reported = []
    error = ValueError("x")
    with guard("the work", lambda what, failure: reported.append((what, failure))):
        raise error
    assert reported == [("the work", error)]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_ends_a_program_or_task_passes_through(kind):
    reported = []
    with pytest.raises(kind), guard("the work", lambda *told: reported.append(told)):
        raise kind
    assert reported == []


def test_a_report_may_raise_the_exception_again():
    def debug(what, error):
        raise error

    with pytest.raises(ZeroDivisionError), guard("the work", debug):
        _ = 1 / 0


def test_a_report_that_fails_is_logged_and_hides_nothing(caplog):
    def broken(what, error):
        raise OSError("the report's own")

    with guard("the work", broken):
        raise ValueError("x")
    assert "the work failed, and so did its report (OSError)" in caplog.text


def test_an_exception_that_refuses_a_traceback_is_swallowed_as_any_other():
    class StubbornError(Exception):
        def __setattr__(self, name, value):
            raise TypeError("frozen")

        @property
        def __class__(self):
            raise TypeError("no class")

    reported = []
    with guard("the work", lambda *told: reported.append(told)):
        raise StubbornError
    assert len(reported) == 1


def test_one_line_a_subject_and_interval(caplog):
    throttled = ThrottledLog(every_s=3600)
    with caplog.at_level(logging.WARNING, "hogline"):
        for _ in range(3):
            throttled.warning("a", "about %s", "a")
            throttled.error("b", "about b")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "hogline: about a"),
        ("ERROR", "hogline: about b"),
    ]


def test_a_subject_is_due_again_after_the_interval_and_never_for_once(caplog):
    again, once = ThrottledLog(every_s=0.0), ThrottledLog(every_s=ONCE)
    for _ in range(2):
        again.warning("a", "again")
        once.warning("a", "once")
    texts = [record.getMessage() for record in caplog.records]
    assert texts.count("hogline: again") == 2
    assert texts.count("hogline: once") == 1


def test_many_subjects_take_bounded_memory():
    throttled = ThrottledLog(logger=logging.getLogger("hogline.quiet"))
    for number in range(1000):
        throttled.note(f"subject {number}")
    assert len(throttled._logged_at_s) <= 100
