"""The documentation tells the truth of today: it builds without a warning, and says every option, command and endpoint."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hogline.delivery import ledger
from hogline.settings import ClientSettings, InterceptorSettings, TaskSettings
from hogline_instance.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def page(name):
    return (DOCS / name).read_text()


def test_it_builds_without_a_warning(tmp_path):
    """As `./dev docs` does."""
    run = subprocess.run(
        [sys.executable, "-m", "sphinx", "-n", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    options = (tmp_path / "reference" / "options.html").read_text() + (
        tmp_path / "instance" / "running.html"
    ).read_text()
    options += (tmp_path / "guides" / "propagation" / "tasks.html").read_text()
    for settings in (ClientSettings, InterceptorSettings, TaskSettings, Settings):
        for declared in dataclasses.fields(settings):
            assert f">{declared.name}<" in options, declared.name


def test_every_reason_for_a_loss_is_named():
    """Whoever reads `stats()` finds the word."""
    reasons = [value for name, value in vars(ledger).items() if name.isupper() and isinstance(value, str)]
    missing = [reason for reason in reasons if f"`{reason}`" not in page("concepts/delivery.md")]
    assert len(reasons) > 8
    assert not missing


def test_every_page_is_reachable_from_the_index():
    """A page that no table of contents names is lost."""
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    named = {"index"}
    for path in DOCS.rglob("*.md"):
        for block in re.findall(r"```\{toctree\}(.*?)```", path.read_text(), re.DOTALL):
            folder = path.parent.relative_to(DOCS)
            named |= {
                str(folder / line.strip()) for line in block.splitlines() if line.strip() and not line.startswith(":")
            }
    assert pages - named == set()


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.name
)
def test_every_link_to_a_file_leads_somewhere(path):
    """Links between pages, pictures and included code."""
    text = path.read_text()
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text) + re.findall(r"\{literalinclude\} (\S+)", text)
    for target in targets:
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target
