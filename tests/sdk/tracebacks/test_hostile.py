# ruff: noqa: N818 - these are named by what they do
"""Exceptions are code of the app: whatever their methods do, a list comes out, and no exception is
changed.
"""

import linecache
import pathlib

import pytest


class HostileError(RuntimeError):
    """The exception that hostile methods raise, and that may never reach the caller."""


def explode(*_args, **_kwargs):
    raise HostileError


class Explosive(Exception):
    """Every method that is not the interpreter's own raises."""

    __str__ = __repr__ = __eq__ = __bool__ = __len__ = __getattribute__ = __setattr__ = __delattr__ = explode
    __iter__ = __contains__ = __format__ = __dir__ = __reduce__ = __getitem__ = explode
    __hash__ = None


class ClassLies(Exception):
    @property
    def __class__(self):
        raise HostileError


class NamelessMeta(type):
    __getattribute__ = explode
    __instancecheck__ = __subclasscheck__ = __eq__ = explode
    __hash__ = None


class Nameless(Exception, metaclass=NamelessMeta):
    """Even its class answers nothing."""


class Overridden(Exception):
    __cause__ = __context__ = __traceback__ = __notes__ = "not what the interpreter says"
    __suppress_context__ = True


class GroupOfNothing(ExceptionGroup):
    exceptions = 5


class ExplosiveGroup(ExceptionGroup):
    exceptions = property(explode)


class ExplosiveSyntax(SyntaxError):
    __getattribute__ = explode


class Equal(Exception):
    """Equal to everything, with everything's hash: a set of these holds one."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


class NoText(Exception):
    def __str__(self):
        return 5  # noqa: PLE0307 - that is the point


class StrText(str):
    __slots__ = ()
    __len__ = __getitem__ = __iter__ = __str__ = explode


class OddText(Exception):
    def __str__(self):
        return StrText("text of a kind of its own")


class Unprintable(Exception):
    __str__ = __repr__ = explode


class StrOnlyRaises(Exception):
    __str__ = explode


def with_attributes(error, **attributes):
    for name, value in attributes.items():
        object.__setattr__(error, name, value)
    return error


HOSTILE = [
    (Explosive("x"), "Explosive", "<Explosive without a printable message>"),
    (ClassLies("x"), "ClassLies", "x"),
    (Nameless("x"), "Nameless", "x"),
    (Overridden("x"), "Overridden", "x"),
    (GroupOfNothing("g", [ValueError("member")]), "GroupOfNothing", "g (1 sub-exception)"),
    (ExplosiveGroup("g", [ValueError("member")]), "ExplosiveGroup", "g (1 sub-exception)"),
    (ExplosiveSyntax("x", ("file.py", 1, 1, "text")), "ExplosiveSyntax", "x (file.py, line 1)"),
    (SyntaxError("x", ("file.py", 1, 5, 7)), "SyntaxError", "x (file.py, line 1)"),
    (SyntaxError("x", ("file.py", -3, -1, "text")), "SyntaxError", "x (file.py, line -3)"),
    (SyntaxError("x", ("file.py", 2**40, 2**40, "text")), "SyntaxError", f"x (file.py, line {2**40})"),
    (SyntaxError("x", ("nul\0l.py", 1, 1, "text")), "SyntaxError", "x (nul\0l.py, line 1)"),
    (SyntaxError("x", (7, "one", object(), b"text")), "SyntaxError", "x"),
    (Equal("x"), "Equal", "x"),
    (NoText("x"), "NoText", "NoText('x')"),
    (OddText(), "OddText", "text of a kind of its own"),
    (Unprintable("x"), "Unprintable", "<Unprintable without a printable message>"),
    (StrOnlyRaises("x"), "StrOnlyRaises", "StrOnlyRaises('x')"),
    (with_attributes(OSError(1, "x"), errno=ClassLies()), "PermissionError", None),
    (with_attributes(ValueError("x"), __notes__=5), "ValueError", "x"),
    (with_attributes(ValueError("x"), __notes__=["note", None, Explosive(), StrText("odd")]), "ValueError", "x\nnote\nodd"),
    (with_attributes(ValueError("x"), __notes__=["n"] * 100_000), "ValueError", "x" + "\nn" * 100),
    (with_attributes(ValueError(), detail=StrText("odd"), message=Explosive()), "ValueError", "odd"),
    (type("E" * 100_000, (Exception,), {"__module__": 5})("x"), "E" * 1021 + "...", "x"),
    (type("Homeless", (Exception,), {"__module__": "m" * 100_000})("x"), "Homeless", "x"),
]  # fmt: skip


def state_of(error):
    """Return the state that the interpreter keeps of it, without calling its class."""
    slots = ("__cause__", "__context__", "__suppress_context__", "__traceback__")
    attributes = dict(object.__getattribute__(error, "__dict__"))
    return [*(BaseException.__dict__[name].__get__(error) for name in slots), *attributes, *attributes.values()]


@pytest.mark.parametrize("raised", [True, False], ids=["raised", "never raised"])
@pytest.mark.parametrize(
    ("error", "name", "value"), HOSTILE, ids=[f"{number}-{name[:20]}" for number, (_, name, _) in enumerate(HOSTILE)]
)
def test_whatever_an_exception_does_it_is_listed_and_left_as_it_was(listed, error, name, value, raised):
    """No method of it has to work; not an attribute of it is written."""
    error = BaseException.with_traceback(error, None)
    if raised:
        try:
            raise error
        except BaseException:  # it has its traceback now
            pass
    before = state_of(error)
    first = listed(error)[0]
    assert first["type"] == name
    assert value is None or first["value"] == value
    assert first["stacktrace"]["frames"]
    after = state_of(error)
    assert len(before) == len(after)
    assert all(one is other for one, other in zip(before, after, strict=True))


def test_a_group_shows_the_members_that_it_has_not_those_that_its_class_claims(listed):
    """The interpreter's own slots cannot lie."""
    for group in (GroupOfNothing("g", [ValueError("member")]), ExplosiveGroup("g", [ValueError("member")])):
        assert [entry["value"] for entry in listed(group)[1:]] == ["member"]


def test_a_hostile_exception_is_listed_anywhere_in_a_chain(listed):
    """It is listed as cause, as context and as member.

    Equal ones are different objects.
    """
    cause, members = Explosive("cause"), [Equal("one"), Equal("two"), Nameless("three")]
    group = ExceptionGroup("g", members)
    group.__cause__ = cause
    assert [entry["type"] for entry in listed(group)] == ["ExceptionGroup", "Explosive", "Equal", "Equal", "Nameless"]


def crash_in(namespace, source="def crash(): 1 / 0", filename="/srv/app/generated.py"):
    exec(compile(source, filename, "exec"), namespace)
    try:
        namespace["crash"]()
    except ZeroDivisionError as error:
        return error.with_traceback(error.__traceback__.tb_next)


class HostileText(str):
    __slots__ = ()
    __hash__ = None
    startswith = explode


class HostileGlobals(dict):
    get = __contains__ = explode


class HostileLoader:
    def __getattr__(self, name):
        raise HostileError(name)


class LyingLoader:
    def get_source(self, name):
        return b"no text"


@pytest.mark.parametrize(
    "namespace",
    [
        {"__name__": HostileText("a.b")},
        {"__name__": 5},
        {},
        HostileGlobals(__name__="a.b"),
        {"__name__": "a.b", "__loader__": HostileLoader()},
        {"__name__": "a.b", "__loader__": LyingLoader()},
    ],
    ids=["odd name", "number", "no name", "odd globals", "hostile loader", "lying loader"],
)
def test_a_frame_is_described_whatever_its_globals_hold(frames, namespace):
    """`exec` takes any dict; templates and notebooks give it odd ones."""
    [frame] = frames(crash_in(namespace))
    assert (frame["function"], frame["lineno"], frame["abs_path"]) == ("crash", 1, "/srv/app/generated.py")
    assert (frame["context_line"], frame["pre_context"], frame["post_context"]) == (None, [], [])


@pytest.mark.parametrize("lines", ["def crash(): 1 / 0\n", [5, None], None], ids=["text", "no texts", "nothing"])
def test_source_lines_that_a_code_generator_made_up_are_shown_or_left_out(frames, monkeypatch, lines):
    """Libraries put lines of their own into linecache."""
    monkeypatch.setitem(linecache.cache, "/srv/app/generated.py", (18, None, lines, "/srv/app/generated.py"))
    [frame] = frames(crash_in({"__name__": "generated"}))
    assert frame["lineno"] == 1


@pytest.mark.parametrize("name", ["__tracebackhide__", "__traceback_hide__"])
def test_a_hiding_mark_that_raises_hides_nothing(frames, name):
    """The frame stays, and so does the event."""
    source = f"def crash():\n    {name} = mark\n    1 / 0"
    mark = type("Mark", (), {"__bool__": explode, "__eq__": explode, "__ne__": explode})()
    assert [frame["function"] for frame in frames(crash_in({"__name__": "app", "mark": mark}, source))] == ["crash"]


def test_a_deleted_working_directory_is_survived(frames, tmp_path, monkeypatch):
    """A relative path stays as it is."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError):
        pathlib.Path.cwd()
    [frame] = frames(crash_in({"__name__": "gone_app"}, filename="gone/app.py"), project_root=".")
    assert (frame["filename"], frame["abs_path"]) == ("app.py", "gone/app.py")
