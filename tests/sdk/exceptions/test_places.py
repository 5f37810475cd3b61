"""Where code comes from: an archive, a generator, a doctest, a module run by name.

The reader sees its lines all the same.
"""

import doctest
import linecache
import os
import subprocess
import sys
import textwrap
import zipapp

import pytest

from hogline.testing import RecordingPostHog


@pytest.fixture
def client(tmp_path):
    made = RecordingPostHog(project_root=str(tmp_path), capture_exception_code_variables=True)
    yield made
    made.shutdown()


def frames(client):
    [event] = client.events
    return event.properties["$exception_list"][0]["stacktrace"]["frames"]


CRASH = """
import os
from hogline import PostHog
posthog = PostHog("phc_test", host=os.environ["SINK"], capture_exceptions=True, capture_exception_code_variables=True)

def pay(amount):
    raise ValueError("no money")

pay(7)
"""


@pytest.mark.parametrize("way", ["zipapp", "python -m"])
def test_an_app_in_one_piece_shows_its_lines(sink, tmp_path, way):
    """`python shop.pyz` and `python -m shop`: both are `__main__`; its own code is its own."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__main__.py").write_text(CRASH)
    command = [sys.executable, "-m", "shop"]
    if way == "zipapp":
        zipapp.create_archive(package, tmp_path / "shop.pyz")
        command = [sys.executable, "shop.pyz"]
    process = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"SINK": sink.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 1, process.stderr
    [event] = sink.events
    frame = event.properties["$exception_list"][0]["stacktrace"]["frames"][-1]
    assert frame["context_line"] == '    raise ValueError("no money")'
    assert frame["pre_context"][-1] == "def pay(amount):"
    assert frame["in_app"] is True
    assert frame["code_variables"] == {"amount": 7}


def test_generated_code_whose_lines_are_in_linecache_shows_them(client):
    """attrs, IPython and template engines put them there."""
    source = "def generated(price):\n    return price / 0\n"
    linecache.cache["<generated 1>"] = (len(source), None, source.splitlines(keepends=True), "<generated 1>")
    namespace = {"__name__": "shop"}
    exec(compile(source, "<generated 1>", "exec"), namespace)
    try:
        namespace["generated"](7)
    except ZeroDivisionError as error:
        client.capture_exception(error)
    finally:
        del linecache.cache["<generated 1>"]
    assert frames(client)[-1]["context_line"] == "    return price / 0"
    assert frames(client)[-1]["filename"] == "<generated 1>"


def test_a_doctest_shows_its_example(client):
    """doctest lends linecache its own lines while it runs."""
    text = textwrap.dedent("""
        >>> def price():
        ...     return 1 / 0
        >>> try: price()
        ... except ZeroDivisionError as error: sent = client.capture_exception(error)
    """)
    test = doctest.DocTestParser().get_doctest(text, {"client": client}, "prices", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
    frame = frames(client)[-1]
    assert (frame["function"], frame["context_line"]) == ("price", "    return 1 / 0")


def test_code_without_lines_has_its_variables(client, tmp_path):
    """Compiled elsewhere: the place is all there is, and what its frame held."""
    code = compile("def pay(amount):\n    raise ValueError\n", str(tmp_path / "gone.py"), "exec")
    namespace = {"__name__": "gone"}
    exec(code, namespace)
    try:
        namespace["pay"](7)
    except ValueError as error:
        client.capture_exception(error)
    frame = frames(client)[-1]
    assert (frame["context_line"], frame["lineno"], frame["code_variables"]) == (None, 2, {"amount": 7})


def test_an_exception_is_left_as_it_was_but_for_its_mark(client):
    """posthog-python writes a made-up traceback to one that was never raised, and keeps frames
    alive with it.
    """
    error = ValueError("x")
    error.add_note("note")
    before = dict(vars(error))
    client.capture_exception(error)
    assert error.__traceback__ is None
    assert vars(error) == {**before, "__hogline_captured__": (0,)}
