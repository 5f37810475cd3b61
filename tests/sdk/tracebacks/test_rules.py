"""Whose code a frame is, so that pages fold the others' away, and the path a reader sees."""

import os
import pathlib
import sys
import types

import pytest

STDLIB = pathlib.Path(os.__file__).parent


def crash_at(filename, module):
    """An exception raised at any path, in a module of any name."""
    try:
        exec(compile("1 / 0", filename, "exec"), {"__name__": module})
    except ZeroDivisionError as error:
        return error.with_traceback(error.__traceback__.tb_next)


@pytest.mark.parametrize(
    ("filename", "module", "in_app"),
    [
        ("/srv/app/main.py", "main", True),
        ("/srv/app/shop/cart.py", "shop.cart", True),
        ("/srv/app/templates/cart.html", "cart.html", True),
        # A sibling whose name begins alike is not below the root.
        ("/srv/application/main.py", "main", False),
        ("/srv/other/main.py", "main", False),
        ("/srv/app/.venv/lib/python3.11/site-packages/flask/app.py", "flask.app", False),
        ("/srv/app/vendor/dist-packages/flask/app.py", "flask.app", False),
        (f"{STDLIB}/json/decoder.py", "json.decoder", False),
        ("<string>", "main", False),
        ("<frozen importlib._bootstrap>", "importlib._bootstrap", False),
        ("<attrs generated init shop.Cart>", "shop", False),
    ],
)
def test_in_app_is_the_apps_own_code(frames, filename, module, in_app):
    """Always set: the server takes a frame without it for the app's own."""
    [frame] = frames(crash_at(filename, module), project_root="/srv/app")
    assert frame["in_app"] is in_app


@pytest.mark.parametrize("root", ["/srv/app", "/srv/app/", "/srv/app/shop/..", "/srv", "/"])
def test_the_root_may_be_written_in_any_way(frames, root):
    """Services often run with `/` as their working directory."""
    [frame] = frames(crash_at("/srv/app/main.py", "main"), project_root=root)
    assert frame["in_app"] is True
    [library] = frames(crash_at(f"{STDLIB}/json/decoder.py", "json.decoder"), project_root=root)
    assert library["in_app"] is False


def test_relative_paths_are_below_the_working_directory(frames, tmp_path, monkeypatch):
    """Both of code and of the root."""
    monkeypatch.chdir(tmp_path)
    [frame] = frames(crash_at("relative_app.py", "relative_app"), project_root=".")
    assert (frame["in_app"], frame["abs_path"]) == (True, str(tmp_path / "relative_app.py"))


@pytest.mark.parametrize(
    ("module", "include", "exclude", "in_app"),
    [
        ("acme.billing", ("acme",), (), True),
        ("acme", ("acme",), (), True),
        ("acmetools", ("acme",), (), False),
        ("acme.billing", ("acme.bill",), (), False),
        ("acme.billing", ("acme",), ("acme.billing",), False),
    ],
)
def test_named_modules_are_the_apps_own_wherever_they_lie(frames, module, include, exclude, in_app):
    """They are named by dotted prefix.

    They may be an installed package of one's own, and generated code of it.
    """
    for filename in ("/usr/lib/python3/site-packages/acme/code.py", "<generated>"):
        [frame] = frames(crash_at(filename, module), in_app_include=include, in_app_exclude=exclude)
        assert frame["in_app"] is in_app


def test_excluded_modules_are_not_the_apps_own_though_they_lie_below_its_root(frames):
    """Vendored code."""
    for module, in_app in (("vendored.six", False), ("vendored_by_us", True), ("main", True)):
        [frame] = frames(crash_at("/srv/app/x.py", module), project_root="/srv/app", in_app_exclude=("vendored",))
        assert frame["in_app"] is in_app


def test_nothing_of_a_virtualenv_inside_the_root_is_the_apps_own(frames, monkeypatch):
    """The script that started the server is not, nor is code that pip checked out."""
    monkeypatch.setattr(sys, "prefix", "/srv/app1/.venv")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    for path in ("bin/gunicorn", "src/checkout/module.py", "lib/python3.11/site-packages/gunicorn/app.py"):
        [frame] = frames(crash_at(f"/srv/app1/.venv/{path}", "__main__"), project_root="/srv/app1")
        assert frame["in_app"] is False
    [own] = frames(crash_at("/srv/app1/main.py", "__main__"), project_root="/srv/app1")
    assert own["in_app"] is True


def test_an_app_inside_a_virtualenv_is_the_apps_own(frames, monkeypatch):
    """Some deploy that way."""
    monkeypatch.setattr(sys, "prefix", "/srv/env2")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    for root in ("/srv/env2/app", "/srv/env2"):
        [frame] = frames(crash_at("/srv/env2/app/main.py", "main"), project_root=root)
        assert frame["in_app"] is True


def test_an_app_below_the_prefix_of_a_system_python_is_the_apps_own(frames, monkeypatch):
    """`/usr/src/app`, where the interpreter's prefix is `/usr` and the working directory is `/`."""
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    [frame] = frames(crash_at("/usr/src/app3/main.py", "main"), project_root="/")
    assert frame["in_app"] is True


def test_a_script_beside_the_interpreter_is_not_the_apps_own(frames, monkeypatch):
    """`/usr/local/bin/gunicorn` in an image whose working directory is `/`, without a
    virtualenv.
    """
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    script = str(pathlib.Path(sys.executable).with_name("some-server"))
    [frame] = frames(crash_at(script, "__main__"), project_root="/")
    assert frame["in_app"] is False


def test_an_app_reached_through_a_symbolic_link_is_the_apps_own(frames, tmp_path):
    """`current -> releases/42`: the working directory has the one path, modules have the other."""
    release = tmp_path / "releases" / "42"
    release.mkdir(parents=True)
    current = tmp_path / "current"
    current.symlink_to(release)
    for code, root in ((current, release), (release, current)):
        [frame] = frames(crash_at(str(code / "main.py"), "main"), project_root=str(root))
        assert frame["in_app"] is True
        assert frame["abs_path"] == str(code / "main.py")


@pytest.mark.parametrize(
    ("package_file", "filename", "module", "shown"),
    [
        ("/srv/app/shop/__init__.py", "/srv/app/shop/till/cart.py", "shop.till.cart", "shop/till/cart.py"),
        # WORKDIR / and COPY ./shop /shop
        ("/shop/__init__.py", "/shop/cart.py", "shop.cart", "shop/cart.py"),
        ("/srv/app/shop/__init__.py", "/srv/app/shop/__init__.py", "shop", "__init__.py"),
        ("/srv/app/shop/__init__.py", "/elsewhere/cart.py", "shop.cart", "/elsewhere/cart.py"),
        (None, "/srv/app/shop/cart.py", "shop.cart", "/srv/app/shop/cart.py"),
        (5, "/srv/app/shop/cart.py", "shop.cart", "/srv/app/shop/cart.py"),
        (..., "/srv/app/shop/cart.py", "shop.cart", "/srv/app/shop/cart.py"),
        (..., "/srv/app/cart.py", "cart", "cart.py"),
        (..., "/srv/app/cart.py", "__main__", "cart.py"),
        (..., "<string>", "shop.cart", "<string>"),
    ],
)  # fmt: skip
def test_the_path_begins_at_the_top_level_package(frames, monkeypatch, package_file, filename, module, shown):
    """The same on every machine; the whole path where no package is known (`...`)."""
    name = f"{module.partition('.')[0]}"
    unique = f"{name}_{abs(hash((str(package_file), filename, module)))}" if name != "__main__" else name
    if package_file is not ...:
        package = types.ModuleType(unique)
        package.__file__ = package_file
        monkeypatch.setitem(sys.modules, unique, package)
    [frame] = frames(crash_at(filename, module.replace(name, unique, 1)))
    assert frame["filename"] == shown


def test_what_stands_in_for_a_module_need_not_be_one(frames, monkeypatch):
    """Lazy modules, and objects that raise when they are asked."""

    class Lazy:
        def __getattr__(self, name):
            raise RuntimeError(name)

    monkeypatch.setitem(sys.modules, "lazyshop", Lazy())
    [frame] = frames(crash_at("/srv/app/lazyshop/cart.py", "lazyshop.cart"))
    assert frame["filename"] == "/srv/app/lazyshop/cart.py"


def test_long_paths_and_names_are_cut(frames):
    """Every text of a frame is bounded."""
    long = "n" * 5000
    source = f"def {long}(): 1 / 0\n{long}()"
    namespace = {"__name__": long}
    try:
        exec(compile(source, f"/srv/{long}.py", "exec"), namespace)
    except ZeroDivisionError as error:
        frame = frames(error)[-1]
    assert {len(frame[key]) for key in ("filename", "abs_path", "function", "module")} == {1024}


def test_this_very_file_is_shown_as_people_know_it(frames):
    """Nothing made up: a real frame of a real test."""
    try:
        raise ValueError("here")
    except ValueError as error:
        [frame] = frames(error, project_root=str(pathlib.Path(__file__).parents[3]))
    assert frame["abs_path"] == __file__
    assert frame["in_app"] is True
    assert frame["context_line"] == '        raise ValueError("here")'
