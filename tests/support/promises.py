"""The contract suite's promises for each framework and server, and their results in the last run.

They are read from the suite itself: a test with the fixture `site` is a promise, its docstring is
the sentence, and its `needs` are the features that a row must have. Results come from pytest's
`--junitxml` file, if there is one.
"""

import ast
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.frameworks import FRAMEWORKS, Framework

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".cache" / "results"
_SUITE = ROOT / "tests" / "interceptors"
_ENDINGS = "test_what_was_captured_right_before_the_end_arrives"

GROUPS = {
    ("context", "TestFresh"): "fresh context",
    ("context", "TestAlive"): "context",
    ("context", "TestClientLeaves"): "client leaves",
    ("context", "TestSockets"): "WebSockets",
    ("facts", None): "request facts",
    ("exceptions", "TestSeen"): "exceptions",
    ("exceptions", "TestJudged"): "status rules",
    ("exceptions", "TestOnce"): "deduplication",
    ("exceptions", "TestStrange"): "hostile exceptions",
    ("options", None): "callbacks",
    ("responses", None): "same responses",
    ("processes", None): "shutdown",
}
"""The columns of the support matrix: a test module of the suite, or a class of one, to its title.
"""


@dataclass(frozen=True)
class Promise:
    """One test of the contract suite."""

    group: str
    test: str
    sentence: str
    needs: tuple[str, ...]
    every_server: bool
    """Whether it runs on every server of a row, or only on one."""

    def servers(self, row: Framework) -> tuple[str, ...]:
        """Return the servers of *row* on which it runs."""
        return row.servers_for(self.needs, every=self.every_server)


@dataclass(frozen=True)
class Cell:
    """One framework and one part of the suite."""

    asked: int
    """The number of promises that run on at least one server."""
    all: int
    failed: tuple[str, ...]
    """"server: test" for each failure of the last run."""
    ran: bool
    """Whether the last run included all of them."""

    @property
    def text(self) -> str:
        if self.failed:
            return "broken"
        if not self.asked:
            return "no"
        return "yes" if self.asked == self.all else f"{self.asked} of {self.all}"


def promises() -> list[Promise]:
    """Return the suite's promises in the order of the columns."""
    found: dict[str, list[Promise]] = {title: [] for title in GROUPS.values()}
    for module in dict.fromkeys(module for module, _ in GROUPS):
        tree = ast.parse((_SUITE / f"test_{module}.py").read_text())
        for owner, node in _functions(tree):
            title = GROUPS.get((module, owner.name if owner else None)) or GROUPS.get((module, None))
            arguments = {argument.arg for argument in node.args.args}
            if title is None or not (arguments & {"site", "lone_site"} or node.name == _ENDINGS):
                continue
            needs = (*_needs(owner), *_needs(node)) if node.name != _ENDINGS else ("sigterm",)
            sentence = (ast.get_docstring(node) or "").partition("\n")[0]
            every = node.name == _ENDINGS or _on_every_server(owner) or _on_every_server(node)
            found[title].append(Promise(title, node.name, sentence, needs, every))
    return [promise for group in found.values() for promise in group]


def cell(row: Framework, title: str, known: list[Promise], results: dict[tuple[str, str, str], str]) -> Cell:
    """Return the results of *row* for the part *title*."""
    wanted = [promise for promise in known if promise.group == title]
    asked = {promise.test: promise.servers(row) for promise in wanted}
    states = {(server, test): results.get((row.name, server, test)) for test, on in asked.items() for server in on}
    failed = tuple(f"{server}: {test}" for (server, test), state in states.items() if state == "failed")
    return Cell(sum(1 for on in asked.values() if on), len(wanted), failed, None not in states.values())


def last_results() -> dict[tuple[str, str, str], str]:
    """Return "passed", "failed" or "skipped" by framework, server and test; the worst of a test's
    cases.
    """
    ids = {f"{row.name}-{server}": (row.name, server) for row in FRAMEWORKS for server in row.servers}
    by_length = sorted(ids, key=len, reverse=True)
    found: dict[tuple[str, str, str], str] = {}
    for path in sorted(RESULTS.glob("*.xml")):
        for case in ET.parse(path).iter("testcase"):
            test, _, parameters = case.get("name", "").partition("[")
            site = next((name for name in by_length if name in parameters), None)
            if site is None:
                continue
            key = (*ids[site], test)
            state = "passed"
            if case.find("failure") is not None or case.find("error") is not None:
                state = "failed"
            elif case.find("skipped") is not None:
                state = "skipped"
            found[key] = "failed" if "failed" in (state, found.get(key)) else state
    return found


def pinned(row: Framework) -> str | None:
    """Return the version that the row's environment pins of its first distribution."""
    if not row.requires:
        return None
    return pinned_version(_DISTRIBUTIONS.get(row.name) or row.requires[-1].replace("_", "-"), row.environment or "dev")


def pinned_version(name: str, environment: str = "dev") -> str | None:
    """Return the version of the distribution *name* in `requirements/<environment>.txt`."""
    pins = (ROOT / "requirements" / f"{environment}.txt").read_text()
    found = re.findall(
        rf"^{re.escape(name)}==(\S+)", pins, re.MULTILINE
    )  # one for each range of Pythons, the newest last
    return found[-1] if found else None


def floor(oldest: Sequence[str]) -> tuple[str, str]:
    """Return distribution and version of the first of a row's `oldest`."""
    name, _, number = oldest[0].partition("==")
    return name.partition("[")[0], number


_DISTRIBUTIONS = {
    "django-rest": "djangorestframework",
    "django-ninja": "django-ninja",
    "pynest": "pynest-api",
    "connexion-flask": "connexion",
}


def _functions(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield None, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name.startswith("test_"):
                    yield node, inner


def _on_every_server(node: ast.ClassDef | ast.FunctionDef | None) -> bool:
    return node is not None and any(getattr(mark, "id", None) == "on_every_server" for mark in node.decorator_list)


def _needs(node: ast.ClassDef | ast.FunctionDef | None) -> tuple[str, ...]:
    if node is None:
        return ()
    return tuple(
        argument.value
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", None) == "needs"
        for argument in decorator.args
        if isinstance(argument, ast.Constant)
    )
