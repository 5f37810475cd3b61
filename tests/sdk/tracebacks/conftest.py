"""The tests of tracebacks share these fixtures.

They write code to real files and run it, and read lists back from their JSON.
"""

import itertools
import textwrap

import orjson
import pytest

from hogline.tracebacks import Mechanism, Rules, exception_list
from hogline.wire.values import serialise

_numbers = itertools.count()


@pytest.fixture
def listed(tmp_path):
    """The list as it stands on the wire, for an app whose root is tmp_path."""

    def read(error, mechanism=None, traceback=None, **rules):
        rules = Rules(**{"project_root": str(tmp_path), **rules})
        entries = exception_list(error, mechanism or Mechanism(), rules, traceback=traceback)
        assert orjson.loads(serialise({"list": entries}))["list"] == entries, "it holds what JSON holds, and no more"
        return entries

    return read


@pytest.fixture
def run_file(tmp_path):
    """Write *source* to a file below tmp_path, run it, and return the exception it raises, frames
    from here on.
    """

    def run(source, path=None, name="app"):
        file = tmp_path / (path or f"app_{next(_numbers)}.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source), encoding="utf-8")
        try:
            exec(compile(file.read_bytes(), str(file), "exec"), {"__name__": name})
        except BaseException as error:
            return error.with_traceback(error.__traceback__.tb_next)
        raise AssertionError("the source raises nothing")

    return run


@pytest.fixture
def frames(listed):
    """The frames of an exception's first entry."""
    return lambda error, **rules: listed(error, **rules)[0]["stacktrace"]["frames"]
