"""The packages are complete and true as PyPI and a newcomer see them.

This holds for metadata, READMEs, versions and the changelog.
"""

import email
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from readme_renderer import markdown

from hogline.version import __version__
from tests.support import lower_bounds

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"hogline": "sdk", "hogline-instance": "instance"}
REPOSITORY = "https://github.com/hogline/hogline"
RAW = "https://raw.githubusercontent.com/hogline/hogline/main/"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
FRAGMENT = re.compile(r"[a-z0-9-]+\.(added|changed|fixed|removed)\.md")
PAGES = [
    ROOT / name
    for name in (
        "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "RELEASING.md", "SECURITY.md", "CODE_OF_CONDUCT.md",
        "sdk/README.md", "instance/README.md", "sdk/pyproject.toml", "instance/pyproject.toml",
        *(str(path.relative_to(ROOT)) for path in (ROOT / ".github").rglob("*") if path.is_file()),
    )
]  # fmt: skip


@pytest.fixture(params=FOLDERS)
def package(request):
    return request.param


@pytest.fixture
def metadata(package, tmp_path):
    """The metadata that a wheel of *package* would have, as its build backend writes it."""
    code = f"import os; from hatchling.build import prepare_metadata_for_build_wheel as p; print(p({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / FOLDERS[package], check=True, timeout=60)
    (file,) = tmp_path.glob("*.dist-info/METADATA")
    return email.message_from_string(file.read_text())


def test_the_metadata_names_authors_links_and_what_the_tests_run_on(package, metadata):
    """PyPI shows these beside the page; a classifier is a claim."""
    classifiers = metadata.get_all("Classifier")
    minors = [name.rsplit(" ", 1)[1] for name in classifiers if re.fullmatch(r".* Python :: 3\.\d+", name)]
    assert minors == PYTHONS
    assert [name for name in classifiers if name.startswith("Operating System")] == [
        "Operating System :: POSIX",
        "Operating System :: POSIX :: Linux",
    ]
    assert any(name.startswith("Framework :: ") for name in classifiers)
    assert any(name.startswith("Topic :: ") for name in classifiers)
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert {"Homepage", "Documentation", "Changelog", "Issues", "Source"} <= set(urls)
    assert metadata["Author"]
    assert metadata["Keywords"]
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Version"] == __version__


def test_the_ci_workflow_runs_every_python_that_the_classifiers_name():
    """A version that no run tests must not be claimed."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.search(r"python: \[(.*)\]", workflow)[1] == ", ".join(f'"{minor}"' for minor in PYTHONS)


def test_the_instance_needs_exactly_its_own_version_of_the_sdk():
    """It uses private modules of the SDK, so any other version could break it."""
    requirements = [Requirement(line) for line in importlib.metadata.requires("hogline-instance")]
    assert [str(one.specifier) for one in requirements if one.name == "hogline"] == [f"=={__version__}"]


def test_pypi_can_show_the_readme_whole(package):
    """The page renders, every link and picture is absolute, and the trademark's owner is named."""
    text = (ROOT / FOLDERS[package] / "README.md").read_text()
    html = markdown.render(text)
    assert html
    targets = re.findall(r'(?:href|src)="([^"]*)"', html)
    assert len(targets) > 5
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    assert "<img" in html
    assert "not affiliated with PostHog Inc." in re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_into_the_repository_lead_to_files_that_exist(path):
    """One canonical address; a link by it to a file must name a file of this commit."""
    text = path.read_text()
    for target in re.findall(r"https://(?:raw\.githubusercontent|github)\.com/hogline[^\s\"')>\]]*", text):
        assert target.startswith((REPOSITORY, RAW)), target
        file = re.sub(rf"^({re.escape(REPOSITORY)}/(blob|tree)/main/|{re.escape(RAW)})", "", target).partition("#")[0]
        if file != target:
            assert (ROOT / file).exists(), target
    if path.suffix == ".md":
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
            assert target.startswith("https://") or (path.parent / target).exists(), target


def test_the_readme_shows_figures_that_were_recorded():
    """Each cost in README's table is one of the values that `./dev bench --record` wrote."""
    recorded = json.loads((ROOT / "docs" / "reference" / "figures.json").read_text())["figures"].values()
    figures = [figure for group in recorded for figure in group]
    values = {
        round(value, 1)
        for figure in figures
        for value in (figure["value"], *(value for _, value in figure["peers"]))
    }  # fmt: skip
    shown = [float(number) for number in re.findall(r"\| ([\d.]+) µs", (ROOT / "README.md").read_text())]
    assert len(shown) == 6
    assert set(shown) <= values


def test_every_dependency_has_a_lower_bound_that_the_lowest_environment_tests():
    """`requirements/lowest.txt`, which `nox -s lowest` installs, holds exactly the declared
    bounds.
    """
    pinned = dict(
        re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", (ROOT / "requirements" / "lowest.txt").read_text(), re.MULTILINE)
    )
    for line in lower_bounds.pins():
        bound = Requirement(line)
        (version,) = (one.version for one in bound.specifier)
        assert Version(pinned[bound.name]) == Version(version), f"{line}: run ./dev pin"


def test_the_instance_declares_no_dependency_outside_the_build_hook():
    """Hatchling refuses a list in both places; the hook's list is the one that the pins are made
    of.
    """
    declared = tomllib.loads((ROOT / "instance" / "pyproject.toml").read_text())
    assert "dependencies" in declared["project"]["dynamic"]
    assert len(lower_bounds.dependencies("hogline-instance")) > 10


def test_fragments_become_a_section_of_the_changelog(tmp_path):
    """As the release does it: the section stands above the older ones, and the fragments
    are gone.
    """
    for name in ("pyproject.toml", "CHANGELOG.md", "sdk/src/hogline/version.py", "changelog.d/template.md.jinja"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for kind in ("removed", "fixed", "changed", "added"):
        (tmp_path / "changelog.d" / f"topic.{kind}.md").write_text(f"A thing was {kind},\nas users see.\n")
    command = [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "98.7.6", "--date", "2030-01-02"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    changelog = (tmp_path / "CHANGELOG.md").read_text()
    assert changelog.index("## 98.7.6 (2030-01-02)") < changelog.index("## 0.1.0")
    section = changelog.partition("## 98.7.6")[2].partition("\n## ")[0]
    assert re.findall(r"^### (.*)", section, re.MULTILINE) == ["Added", "Changed", "Fixed", "Removed"]
    assert "- A thing was fixed,\n  as users see.\n" in section
    assert list((tmp_path / "changelog.d").glob("*.md")) == []


def test_every_fragment_has_a_name_that_the_changelog_takes():
    """A name that towncrier does not know would be left out without a word."""
    names = [path.name for path in (ROOT / "changelog.d").iterdir()]
    wrong = [name for name in names if not FRAGMENT.fullmatch(name)]
    assert sorted(wrong) == ["README.md", "template.md.jinja"]
