"""The frames: in the reader's order, with place, source and column, and never so many that nobody
reads them.
"""

import ast
import importlib
import linecache
import subprocess
import sys
import textwrap
import zipfile

import pytest

from hogline.tracebacks import Mechanism, Rules, exception_list

SHOP = """\
def total(cart):
    prices = [item["price"] for item in cart]
    return sum(prices)


def checkout(cart):
    # what a customer owes
    amount = total(cart)
    if amount < 0:
        raise ValueError("negative")
    return amount


checkout([{"price": -1}])
"""


def test_frames_stand_outermost_first_and_the_crash_site_last(run_file, frames):
    """The order PostHog's pages expect (docs/internals/capture-protocol.md#frames), with everything
    they show of a frame.
    """
    outer, crash = frames(run_file(SHOP, path="shop/cart.py", name="cart"))
    assert [outer["function"], crash["function"]] == ["<module>", "checkout"]
    path = crash.pop("abs_path")
    assert path.endswith("/shop/cart.py")
    assert crash == {
        "platform": "python",
        "filename": "cart.py",
        "function": "checkout",
        "module": "cart",
        "lineno": 10,
        "colno": 9,
        "context_line": '        raise ValueError("negative")',
        "pre_context": [
            "",
            "def checkout(cart):",
            "    # what a customer owes",
            "    amount = total(cart)",
            "    if amount < 0:",
        ],
        "post_context": ["    return amount", "", "", 'checkout([{"price": -1}])'],
        "in_app": True,
    }


def test_a_function_is_called_by_its_own_name(run_file, frames):
    """The name is not the qualified one: PostHog groups by it."""
    source = """
    class Shop:
        def sell(self):
            (lambda: 1 / 0)()
    Shop().sell()
    """
    assert [frame["function"] for frame in frames(run_file(source))] == ["<module>", "sell", "<lambda>"]


@pytest.mark.parametrize(
    ("line", "column_of"),
    [
        ("x = [1]; y = x[0] + x[7]", "x[7]"),
        ("ü = [1]; größe = ü[0] + ü[7]", "ü[7]"),
        ("s = '🦔' * 3; y = s[0] + s[7]", "s[7]"),
        ("(lambda: None)() or {}['key']", "{}['key']"),
    ],
)
def test_the_column_is_that_of_the_expression_that_failed(run_file, frames, line, column_of):
    """Columns are counted from 1 in characters, as editors do.

    Of several subscripts in a line, the column names the one that failed.
    """
    [frame] = frames(run_file(line + "\n"))
    assert frame["colno"] == line.index(column_of) + 1


def test_an_expression_over_several_lines_has_the_line_that_failed(run_file, frames):
    """Line and column belong together."""
    [frame] = frames(run_file("value = (\n    1 +\n    None.missing\n)\n"))
    assert (frame["lineno"], frame["colno"], frame["context_line"]) == (3, 5, "    None.missing")


def test_columns_stay_right_when_a_place_is_seen_again(run_file, frames):
    """They are remembered for each place in the code, not for the code."""
    source = """
    def pick(n):
        return [1, 2, 3][n] + [1, 2][n] + [1][n]
    pick({n})
    """
    error = {n: run_file(source.format(n=n), path="picks.py") for n in (1, 2, 3)}
    assert [frames(error[n])[-1]["colno"] for n in (1, 2, 3, 1, 2, 3)] == [39, 27, 12] * 2
    same_code = run_file("""
    found = []
    def pick(n):
        return [1, 2, 3][n] + [1, 2][n] + [1][n]
    for n in (1, 2, 3):
        try:
            pick(n)
        except IndexError as error:
            found.append(error)
    raise ExceptionGroup("picks", found)
    """)
    for _ in range(2):
        assert [frames(member)[-1]["colno"] for member in same_code.exceptions] == [39, 27, 12]


def test_an_interpreter_without_columns_gives_none(tmp_path):
    """`python -X no_debug_ranges`, as small images run."""
    script = textwrap.dedent("""
        from hogline.tracebacks import Mechanism, Rules, exception_list
        try:
            1 / 0
        except ZeroDivisionError as error:
            [frame] = exception_list(error, Mechanism(), Rules(project_root="/"))[0]["stacktrace"]["frames"]
            print(frame["lineno"], "colno" in frame)
    """)
    file = tmp_path / "script.py"
    file.write_text(script)
    command = [sys.executable, "-X", "no_debug_ranges", str(file)]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "4 False\n"


@pytest.mark.parametrize("length", [1024, 1025, 100_000])
def test_long_lines_are_cut_and_never_lost(run_file, frames, length):
    """posthog-python sends null for these (docs/internals/capture-protocol.md#frames)."""
    line = "x = '" + "a" * (length - 6) + "'"
    [frame] = frames(run_file(f"{line}\n1 / 0  # {'b' * (length - 9)}\n"))
    shown = line if length == 1024 else line[:1021] + "..."
    assert frame["pre_context"] == [shown]
    assert len(frame["context_line"]) == 1024
    assert frame["context_line"].startswith("1 / 0  # bbb")


@pytest.mark.parametrize("name", ["__tracebackhide__", "__traceback_hide__"])
def test_frames_that_hide_are_left_out(run_file, frames, name):
    """Helpers that raise for their caller; a false mark hides nothing."""
    source = f"""
    def require(value, hide):
        {name} = hide
        if not value:
            raise ValueError("required")

    require(None, hide={{hide}})
    """
    assert [frame["function"] for frame in frames(run_file(source.format(hide=True)))] == ["<module>"]
    assert [frame["function"] for frame in frames(run_file(source.format(hide=False)))] == ["<module>", "require"]


@pytest.mark.parametrize(
    ("module", "shown"),
    [("hogline", False), ("hogline.interceptors.asgi", False), ("hogline_shop", True), ("shop.hogline", True)],
)
def test_our_own_frames_are_left_out(run_file, listed, module, shown):
    """Every request runs through interceptors; nobody's mistake is there."""
    [entry] = listed(run_file("1 / 0\n", name=module))
    assert ("stacktrace" in entry) is shown


def test_of_a_recursion_both_ends_stay(run_file, frames):
    """The list shows how it began, where it broke, and how much is between."""
    shown = frames(run_file("def down(n):\n    return down(n + 1)\n\ndown(0)\n"))
    assert len(shown) == 101
    assert shown[0]["function"] == "<module>"
    gap = shown[50]
    assert gap["left_out"] > 500
    assert gap["context_line"] == f"{gap['left_out']} frames left out"
    assert (gap["in_app"], gap["lineno"]) == (False, None)
    assert [frame["function"] for frame in shown[1:50] + shown[51:]] == ["down"] * 99


@pytest.mark.parametrize("depths", [(150, 151), (200, 700)])
def test_how_deep_a_recursion_went_makes_no_other_issue(run_file, frames, depths):
    """PostHog groups by the names of functions: the marker's is constant, the count stands beside
    it.
    """
    source = "def down(n):\n    1 / n\n    down(n - 1)\n\ndown({})\n"
    first, second = (frames(run_file(source.format(depth))) for depth in depths)
    grouped = ("function", "module", "lineno", "in_app")
    assert [[frame[name] for name in grouped] for frame in first] == [
        [frame[name] for name in grouped] for frame in second
    ]
    assert second[50]["left_out"] - first[50]["left_out"] == depths[1] - depths[0]


def test_as_many_frames_as_allowed_are_all_shown(run_file, frames):
    """No gap without need; one frame more, and one is left out."""
    source = "def down(n):\n    1 / n\n    down(n - 1)\n\ndown({depth})\n"
    assert [frame["lineno"] for frame in frames(run_file(source.format(depth=98)))] == [5, *[3] * 98, 2]
    deeper = frames(run_file(source.format(depth=99)))
    assert deeper[50]["left_out"] == 1
    assert deeper[-1]["lineno"] == 2


def test_the_stack_of_an_unraised_exception_is_bounded_too(frames):
    """Captured deep within a recursion."""

    def down(n):
        return down(n - 1) if n else frames(ValueError("never raised"))

    shown = down(300)
    assert len(shown) == 101
    assert sum(frame.get("left_out", 0) for frame in shown) > 200
    assert shown[50]["left_out"] > 200


def test_a_zipped_module_shows_its_source(tmp_path, frames, monkeypatch):
    """Its loader has the text; there is no such file."""
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("zipped_shop/__init__.py", "")
        bundle.writestr("zipped_shop/till.py", "def pay():\n    # no money\n    raise ValueError('no money')\n")
    monkeypatch.syspath_prepend(str(archive))
    till = importlib.import_module("zipped_shop.till")
    with pytest.raises(ValueError) as caught:
        till.pay()
    frame = frames(caught.value)[-1]
    assert frame["filename"] == "zipped_shop/till.py"
    assert frame["context_line"] == "    raise ValueError('no money')"
    assert frame["pre_context"] == ["def pay():", "    # no money"]


@pytest.mark.parametrize("filename", ["<string>", "<frozen shop>", "/nowhere/shop.py", "shop.html", ""])
def test_code_without_source_is_shown_without_lines(frames, filename):
    """Generated, frozen, compiled elsewhere, or deleted."""
    try:
        exec(compile("\n\n1 / 0", filename, "exec"), {"__name__": "shop"})
    except ZeroDivisionError as error:
        frame = frames(error)[-1]
    assert (frame["context_line"], frame["pre_context"], frame["post_context"]) == (None, [], [])
    assert (frame["lineno"], frame["colno"], frame["function"]) == (3, 1, "<module>")


def test_a_frozen_module_of_the_standard_library_is_shown(frames):
    """The import system itself."""
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("there_is_no_such_module")
    frozen = [frame for frame in frames(caught.value) if frame["filename"].startswith("<frozen")]
    assert frozen
    assert {frame["in_app"] for frame in frozen} == {False}


@pytest.mark.parametrize("now", ["x = 1\n", "", "\0binary", None], ids=["shorter", "empty", "binary", "deleted"])
def test_a_file_that_changed_meanwhile_is_no_error(run_file, frames, tmp_path, now):
    """Deployed over while the process runs."""
    error = run_file("\n" * 20 + "1 / 0\n", path="changed.py")
    file = tmp_path / "changed.py"
    file.unlink() if now is None else file.write_text(now)
    linecache.clearcache()
    [frame] = frames(error)
    assert frame["lineno"] == 21
    assert (frame["context_line"], frame["pre_context"], frame["post_context"]) == (None, [], [])


def test_a_syntax_error_ends_in_the_file_it_is_about(run_file, frames, tmp_path):
    """The crash is in a file that never ran: its frame comes after those that tried to read it."""
    broken = tmp_path / "broken.py"
    broken.write_text("import os\n\nif True\n    pass\n")
    shown = frames(run_file(f"compile({broken.read_text()!r}, {str(broken)!r}, 'exec')\n"))
    assert shown[-1] == {
        "platform": "python",
        "filename": "broken.py",
        "abs_path": str(broken),
        "function": "<module>",
        "module": None,
        "lineno": 3,
        "colno": 8,
        "context_line": "if True",
        "pre_context": ["import os", ""],
        "post_context": ["    pass"],
        "in_app": True,
    }
    assert [frame["function"] for frame in shown] == ["<module>", "<module>"]


def test_a_syntax_error_in_a_text_shows_the_text(frames):
    """A text that was handed to eval or literal_eval has no file."""
    with pytest.raises(SyntaxError) as caught:
        ast.literal_eval("{'a': 1, 'b' 2}")
    frame = frames(caught.value)[-1]
    assert (frame["filename"], frame["context_line"], frame["in_app"]) == ("<unknown>", "{'a': 1, 'b' 2}", False)


@pytest.mark.parametrize(
    ("line", "column", "shown"),
    [
        (1, 3, {"lineno": 1, "colno": 3}),
        (1, 0, {"lineno": 1}),
        (1, -1, {"lineno": 1}),
        (1, None, {"lineno": 1}),
        (1, 2**40, {"lineno": 1}),
        (0, 1, None),
        (-3, 1, None),
        (None, None, None),
        (2**40, 1, None),
    ],
)
def test_an_impossible_place_is_left_out(listed, line, column, shown):
    """Parsers of other languages make SyntaxErrors too.

    The server reads numbers as 32 bits, and loses the event over others.
    """
    [entry] = listed(SyntaxError("odd", ("odd.cfg", line, column, "text")))
    last = entry["stacktrace"]["frames"][-1]
    if shown is None:
        assert last["filename"] != "odd.cfg"
    else:
        assert {key: last[key] for key in ("lineno", "colno") if key in last} == shown


@pytest.mark.parametrize("line", [0, -5])
def test_an_impossible_line_number_is_left_out(frames, line):
    """Generated syntax trees may count as they like."""
    tree = ast.parse("1 / 0")
    for node in ast.walk(tree):
        if hasattr(node, "lineno"):
            node.lineno = node.end_lineno = line
    try:
        exec(compile(tree, "/srv/template.html", "exec"), {"__name__": "template"})
    except ZeroDivisionError as error:
        frame = frames(error)[-1]
    assert frame["lineno"] is None
    assert "colno" not in frame


def test_a_hundred_thousand_frames_are_walked_not_kept():
    """A snapshot stays bounded where the recursion limit was raised."""
    script = textwrap.dedent("""
        import sys, tracemalloc
        from hogline.tracebacks import Mechanism, Rules, exception_list
        sys.setrecursionlimit(10**6)
        def down(n):
            if n: down(n - 1)
            else: raise ValueError("deep")
        try:
            down(100_000)
        except ValueError as error:
            exception_list(ValueError("warm"), Mechanism(), Rules(project_root="/"))
            tracemalloc.start()
            [entry] = exception_list(error, Mechanism(), Rules(project_root="/"))
            print(len(entry["stacktrace"]["frames"]), tracemalloc.get_traced_memory()[1] < 5_000_000)
    """)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=100)
    assert run.stdout == "101 True\n"


def test_an_exception_group_shows_each_members_own_frames(run_file, listed):
    """The stack of each task that failed."""
    source = """
    def first():
        raise ValueError("one")

    def second():
        raise KeyError("two")

    found = []
    for task in (first, second):
        try:
            task()
        except Exception as error:
            found.append(error)
    raise ExceptionGroup("both", found)
    """
    entries = listed(run_file(source))
    assert [entry["stacktrace"]["frames"][-1]["function"] for entry in entries] == ["<module>", "first", "second"]


def test_concurrent_snapshots_do_not_disturb_each_other(run_file):
    """Every thread writes the facts that are remembered of a place."""
    from concurrent.futures import ThreadPoolExecutor

    error = run_file(SHOP)
    rules = Rules(project_root="/")
    expected = exception_list(error, Mechanism(), rules)
    with ThreadPoolExecutor(8) as pool:
        lists = list(pool.map(lambda _: exception_list(error, Mechanism(), rules), range(200)))
    assert all(each == expected for each in lists)
