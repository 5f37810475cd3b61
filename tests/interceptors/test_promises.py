"""The documentation's table of frameworks says what the suite asks, and what became of it."""

import re

import pytest

from tests.support import oldest, promises
from tests.support.frameworks import FRAMEWORKS

BY_NAME = {row.name: row for row in FRAMEWORKS}


def test_every_part_of_the_suite_has_promises_and_sentences():
    """A part that was renamed would be an empty column."""
    known = promises.promises()
    assert {promise.group for promise in known} == set(promises.GROUPS.values())
    assert [promise.test for promise in known if not promise.sentence] == []


def test_what_a_row_lacks_is_not_promised():
    """Flask has no sockets; FastAPI has everything."""
    known = promises.promises()
    assert promises.cell(BY_NAME["flask"], "WebSockets", known, {}).text == "no"
    assert promises.cell(BY_NAME["fastapi"], "WebSockets", known, {}).text == "yes"


def test_a_failure_of_the_last_run_is_shown(tmp_path, monkeypatch):
    """On the server that failed, whatever else passed."""
    case = '<testcase classname="x" name="test_bodies_are_the_apps_alone[fastapi-{}-0]">{}</testcase>'
    cases = case.format("uvicorn-uvloop", "<failure/>") + case.format("uvicorn", "") + case.format("hypercorn", "")
    (tmp_path / "suite.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    monkeypatch.setattr(promises, "RESULTS", tmp_path)
    results = promises.last_results()
    assert results["fastapi", "uvicorn", "test_bodies_are_the_apps_alone"] == "passed"
    found = promises.cell(BY_NAME["fastapi"], "same responses", promises.promises(), results)
    assert (found.text, found.failed) == ("broken", ("uvicorn-uvloop: test_bodies_are_the_apps_alone",))
    assert not found.ran


def test_every_framework_names_its_oldest_version():
    """The exceptions are frameworks that pin others, and are tested at one version, and the bare
    protocols.
    """
    assert [row.name for row in FRAMEWORKS if not (row.oldest or row.environment)] == ["asgi", "wsgi"]


@pytest.mark.parametrize("environment", oldest.environments())
def test_the_pins_of_the_oldest_versions_are_the_tables(environment):
    """`./dev pin` makes them; a floor that moved in the table alone would not be asked."""
    pins = (promises.ROOT / "requirements" / f"{environment}.txt").read_text()
    pinned = set(re.findall(r"^([\w.-]+==[^ ;]+)", pins, re.MULTILINE))
    floors = {re.sub(r"\[.*\]", "", one) for one in oldest.requirements(environment) if "==" in one}
    assert floors - pinned == set()
