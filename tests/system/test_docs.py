"""The documentation is true today: it builds without a warning, and names every option, command,
endpoint and public name.
"""

import importlib
import json
import pkgutil
import re
import subprocess
import sys
import urllib.request
import zlib
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import hogline
import hogline.interceptors
import hogline.propagation
from hogline.client import Client
from hogline.delivery import ledger
from hogline.settings import ClientSettings, InterceptorSettings, TaskSettings
from hogline_instance.settings import Settings
from tests.support.instances import start_instance

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MODULES = ("hogline", "hogline.doctor", "hogline.exceptions", "hogline.testing", "hogline.integrations.logging",
           "hogline.integrations.openfeature")  # fmt: skip
"""Modules all of whose `__all__` is for users."""
MADE_FOR_USERS = re.compile(
    r"(Async)?PostHog\w*|posthog_interceptor|includeme|signed_in_user|carry|(un)?patch|(un)?mirror|Thread\w*"
)
"""The names that users meet of the other modules; the rest of their `__all__` is for siblings."""
ELSEWHERE = {"hogline.doctor.main": "the command `hogline doctor`"}
"""Public names that are documented in another form, each with where."""
INTERNAL_METHODS = {"failed", "first", "lost"}
"""Methods of the client that other modules of the SDK call, and users do not."""


def page(name):
    return (DOCS / name).read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the documentation as `./dev docs` does, once."""
    folder = tmp_path_factory.mktemp("docs")
    run = subprocess.run(
        [sys.executable, "-m", "sphinx", "-n", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(folder)],
        capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip
    return run, folder


def described(built):
    """Return the Python names that the built pages describe."""
    raw = (built[1] / "objects.inv").read_bytes()
    body = zlib.decompress(raw.split(b"zlib.\n", 1)[1]).decode()
    return {line.split(" ")[0] for line in body.splitlines() if line.split(" ")[1].startswith("py:")}


@pytest.mark.timeout(600)
def test_it_builds_without_a_warning(built):
    """Links, includes and references to Python names all resolve."""
    run, _ = built
    assert run.returncode == 0, run.stderr


@pytest.mark.timeout(600)
def test_every_option_is_documented(built):
    """The options are those of the client, the interceptors, the task queues and the instance."""
    pages = ("reference/options.html", "instance/running.html", "guides/propagation/tasks.html")
    text = "".join((built[1] / name).read_text() for name in pages)
    missing = [
        f"{settings.__name__}.{declared.name}"
        for settings in (ClientSettings, InterceptorSettings, TaskSettings, Settings)
        for declared in fields(settings)
        if f">{declared.name}<" not in text
    ]
    assert missing == []


def public_names():
    """Return the full name of everything that is made for users."""
    names = {f"{module}.{name}" for module in MODULES for name in importlib.import_module(module).__all__}
    for package in (hogline.interceptors, hogline.propagation):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.rpartition(".")[2] in ("ellar", "nestipy", "pynest"):  # not installed in this environment
                names.add(f"{found.name}.PostHogInterceptor")
                continue
            if ".common" in found.name or (found.name.count(".") > 2 and ".users" not in found.name):
                continue
            module = importlib.import_module(found.name)
            kept = [name for name in getattr(module, "__all__", ()) if MADE_FOR_USERS.fullmatch(name)]
            names |= {f"{found.name}.{name}" for name in kept}
    return names - ELSEWHERE.keys()


@pytest.mark.timeout(600)
def test_every_public_name_is_documented(built):
    """On the API page, with its signature; so are the client's methods."""
    known = described(built)
    old_places = {
        "hogline.interceptors.flask_login.signed_in_user",
        "hogline.interceptors.starlette_auth.signed_in_user",
    }
    methods = {name for name in dir(Client) if not name.startswith("_")}
    assert methods > INTERNAL_METHODS
    methods -= INTERNAL_METHODS
    wanted = (public_names() - old_places) | {f"hogline.Client.{name}" for name in methods}
    wanted = {name.replace("hogline.exceptions.", "hogline.") for name in wanted}
    assert len(wanted) > 130
    assert wanted - known == set()


def test_every_command_is_documented():
    """The page of commands has a section for each, and prints its help."""
    text = page("reference/commands.md")
    names = [entry.name for entry in entry_points(group="hogline.commands")]
    assert {"doctor", "serve"} <= set(names)
    for name in names:
        assert f"## hogline {name}\n" in text
        assert f"{{command-help}} {name}\n" in text


@pytest.mark.timeout(120)
def test_every_endpoint_is_documented(tmp_path):
    """Each path that a running instance describes in /openapi.json, apart from its pages."""
    instance = start_instance(tmp_path / "data")
    try:
        with urllib.request.urlopen(f"{instance.url}/openapi.json", timeout=30) as answer:
            described = json.load(answer)["paths"]
    finally:
        instance.stop()
    text = "".join(path.read_text() for path in [DOCS / "reference" / "endpoints.md", *DOCS.glob("instance/*.md")])
    missing = [path for path in described if path.rstrip("/") not in text]
    assert len(described) > 3
    assert missing == []


def test_every_reason_for_a_loss_is_named():
    """A reader of `stats()` finds the word there."""
    reasons = [value for name, value in vars(ledger).items() if name.isupper() and isinstance(value, str)]
    missing = [reason for reason in reasons if f"`{reason}`" not in page("concepts/delivery.md")]
    assert len(reasons) > 8
    assert not missing


def test_every_page_is_reachable_from_the_index():
    """A page that no table of contents names is lost."""
    found = [
        path for path in DOCS.rglob("*.md") if not any(part.startswith("_") for part in path.relative_to(DOCS).parts)
    ]
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in found}
    named = {"index"}
    for path in found:
        for block in re.findall(r"```\{toctree\}(.*?)```", path.read_text(), re.DOTALL):
            folder = path.parent.relative_to(DOCS)
            named |= {
                str(folder / line.strip()) for line in block.splitlines() if line.strip() and not line.startswith(":")
            }
    assert pages - named == set()


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.name
)
def test_every_included_file_exists(path):
    """Code in pages is included from the examples, which tests run."""
    for target in re.findall(r"\{literalinclude\} (\S+)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_kept_inventories_are_what_their_list_says(monkeypatch):
    """A change that adds a name runs docs/_inventories/make.py."""
    monkeypatch.syspath_prepend(str(DOCS / "_inventories"))
    make = importlib.import_module("make")
    for name, project in make.PROJECTS.items():
        kept = (DOCS / "_inventories" / f"{name}.inv").read_bytes().split(b"zlib.\n", 1)
        made = make.inventory(name, project).split(b"zlib.\n", 1)
        assert kept[0] == made[0]
        assert zlib.decompress(kept[1]) == zlib.decompress(made[1])
