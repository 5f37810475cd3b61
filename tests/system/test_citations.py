"""Every citation and every relative link in the repository leads to a heading, a rule or a file
that exists.
"""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "internals" / "rules.md"
TEXT = {".py", ".md", ".sql", ".html", ".js", ".toml", ".yml", ".css", ".json", ""}

CITATION = re.compile(r"docs/internals/([a-z-]+)\.md(?:#([a-z0-9-]+))?")
RULE = re.compile(r"\b[Rr]ules?\s+((?:`[a-z0-9-]+`(?:,\s+|\s+and\s+)?)+)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
UNREADABLE = re.compile(
    r"\bspec/[a-z-]+\.md|\b(?:sdk-wire|instance-wire|query-api)\b|\bengines\.md\b"
    r"|\(R\d+\)|\b(?:[Pp]itfalls?|[Hh]ard rules?|[Bb]ehaviours?) \d|\b[a-z-]+\.md \d+(?:\.\d+)?\b"
)
"""Citations by number, of pages that only their author had."""


def tracked():
    """Return the text files under version control, except this one."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.suffix in TEXT and path.is_file() and path != Path(__file__)]


def slug(heading):
    """Return the anchor that GitHub and MyST give a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


@cache
def anchors(path):
    """Return the anchors of a Markdown file: its headings, explicit targets and HTML ids."""
    text = re.sub(r"^(`{3,}|:{3,}).*?^\1", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = [slug(heading) for heading in re.findall(r"^#{1,6} +(.+?)\s*$", text, re.MULTILINE)]
    assert len(headings) == len(set(headings)), f"{path.name} has two headings with one anchor"
    return {*headings, *re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE), *re.findall(r'<a id="([\w-]+)"', text)}


@pytest.fixture(scope="module")
def files():
    """Read each tracked text file once."""
    found = {}
    for path in tracked():
        try:
            found[path] = path.read_text()
        except UnicodeDecodeError:
            continue
    assert len(found) > 300
    return found


def test_every_citation_of_an_internal_page_resolves(files):
    """`docs/internals/<page>.md#<anchor>` names a heading of a page that exists."""
    wrong = []
    for path, text in files.items():
        for page, anchor in CITATION.findall(text):
            cited = ROOT / "docs" / "internals" / f"{page}.md"
            if not cited.is_file() or (anchor and anchor not in anchors(cited)):
                wrong.append(f"{path.relative_to(ROOT)}: {page}.md#{anchor}")
    assert wrong == []


def test_every_named_rule_exists(files):
    """Where code says "rule `name`", the page of rules has it."""
    wrong = []
    for path, text in files.items():
        for names in RULE.findall(re.sub(r"\n\s*#? *", " ", text)):
            missing = set(re.findall(r"`([a-z0-9-]+)`", names)) - anchors(RULES)
            wrong += [f"{path.relative_to(ROOT)}: {name}" for name in missing]
    assert wrong == []


def test_no_citation_goes_by_a_number(files):
    """A reader can open a page and an anchor; a section number of a private page leads nowhere."""
    wrong = [f"{path.relative_to(ROOT)}: {found}" for path, text in files.items() for found in UNREADABLE.findall(text)]
    assert wrong == []


def test_every_relative_link_leads_somewhere(files):
    """Links of Markdown pages name files that exist, and anchors that the linked page has."""
    wrong = []
    for path, text in files.items():
        if path.suffix != ".md":
            continue
        prose = re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
        for target in LINK.findall(prose):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            linked = path.parent / name if name else path
            if not linked.exists() or (anchor and linked.suffix == ".md" and anchor not in anchors(linked)):
                wrong.append(f"{path.relative_to(ROOT)}: {target}")
    assert wrong == []
