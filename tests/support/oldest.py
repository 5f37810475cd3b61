"""The oldest supported versions, grouped into a few environments, and the tests that CI runs there.

The frameworks' versions are in their table; this module lists those of other libraries, which have
their own tests. `requirements/<environment>.txt` pins an environment; `./dev pin` makes it from the
output of `python -m tests.support.oldest <environment>`. CI runs one promise of each kind on one
server with the oldest versions; `nox -s frameworks -- <name>` runs the whole contract suite.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.frameworks import FRAMEWORKS, Framework

ROOT = Path(__file__).resolve().parents[2]
_SUITE = "tests/interceptors"

ESSENCE = tuple(
    f"{_SUITE}/test_{test}"
    for test in (
        "context.py::TestFresh::test_forty_requests_at_once_are_never_mixed",
        "context.py::TestAlive::test_streams_belong_to_the_visitor",
        "context.py::TestAlive::test_what_runs_after_the_response_belongs_to_the_visitor",
        "context.py::TestClientLeaves::test_a_client_that_leaves_is_no_mistake_and_leaves_nothing",
        "context.py::TestSockets::test_a_connection_belongs_to_its_visitor",
        "exceptions.py::TestSeen::test_a_plain_error_is_one_unhandled_event",
        "exceptions.py::TestSeen::test_an_error_in_a_stream_has_the_status_that_was_sent",
        "exceptions.py::TestJudged::test_groups_are_judged_by_their_leaves",
        "exceptions.py::TestJudged::test_what_nothing_handled_is_captured_under_every_rule",
        "exceptions.py::TestOnce::test_installed_twice_handled_stays_true_to_life",
        "facts.py::test_every_row_of_the_guide_is_on_a_plain_capture",
        "facts.py::TestPrecedence::test_the_apps_word_on_who_acts_wins_over_the_header",
        "facts.py::test_routing_errors_and_other_methods_are_no_events",
        "options.py::test_a_filtered_request_is_left_alone",
    )
)
"""One promise of each kind."""


@dataclass(frozen=True)
class Library:
    """A library that is not in the table of frameworks and has its own tests."""

    name: str
    oldest: tuple[str, ...]
    """As in `Framework.oldest`: the library's version first, then its dependencies'."""
    tests: tuple[str, ...]
    essence: tuple[str, ...]
    """The tests that CI runs with the oldest version."""
    oldest_environment: str = "oldest"


# `tests/propagation/test_outgoing.py` uses these together; aiohttp's client has middleware since
# 3.12.
_CLIENTS = ("aiohttp==3.12.0", "httpx==0.27.0", "requests==2.31.0", "urllib3==2.2.0", "hypothesis")


def _client(name: str, floor: str) -> "Library":
    tests = ("tests/propagation/test_outgoing.py",)
    return Library(name, (floor, *(one for one in _CLIENTS if one != floor)), tests, tests, "oldest-flask3")


LIBRARIES = (
    _client("aiohttp-client", "aiohttp==3.12.0"),
    _client("httpx", "httpx==0.27.0"),
    _client("requests", "requests==2.31.0"),
    _client("urllib3", "urllib3==2.2.0"),
    Library(
        name="grpc",
        oldest=("grpcio==1.60.0",),
        tests=(f"{_SUITE}/test_grpc.py",),
        essence=tuple(
            f"{_SUITE}/test_grpc.py::{test}"
            for test in (
                "TestContext::test_streams_belong_to_the_visitor",
                "TestContext::test_calls_at_once_are_never_mixed",
                "TestExceptions::test_a_plain_error_is_one_unhandled_event",
                "TestExceptions::test_aborts_that_are_the_servers_are_events",
                "TestExceptions::test_rules_hold",
            )
        ),
    ),
    Library(
        name="strawberry",
        # Strawberry before 0.263 uses a private part of pydantic that was removed later.
        oldest=("strawberry-graphql==0.243.0", "pydantic<2.11", "fastapi==0.115.12"),
        tests=(f"{_SUITE}/test_graphql.py",),
        essence=(
            f"{_SUITE}/test_graphql.py::test_what_a_resolver_raises_is_one_event",
            f"{_SUITE}/test_graphql.py::test_rules_hold",
            f"{_SUITE}/test_graphql.py::TestStrawberry",
        ),
    ),
    Library(
        name="graphene",
        oldest=("graphene==3.3", "flask==2.3.0", "strawberry-graphql==0.243.0", "pydantic<2.11", "fastapi==0.115.12"),
        tests=(f"{_SUITE}/test_graphql.py",),
        essence=(f"{_SUITE}/test_graphql.py::test_what_the_client_did_wrong_is_none",),
    ),
)


def environments() -> tuple[str, ...]:
    """Return the names of the environments of oldest versions."""
    return tuple(dict.fromkeys(one.oldest_environment for one in (*FRAMEWORKS, *LIBRARIES) if one.oldest))


def living_in(environment: str) -> tuple[list[Framework], list[Library]]:
    """Return the rows and libraries of *environment*."""
    rows = [row for row in FRAMEWORKS if row.oldest and row.oldest_environment == environment]
    return rows, [library for library in LIBRARIES if library.oldest_environment == environment]


def requirements(environment: str) -> list[str]:
    """Return the lower bounds of everything in *environment*."""
    rows, libraries = living_in(environment)
    return sorted({requirement for one in (*rows, *libraries) for requirement in one.oldest})


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1]) if sys.argv[1:] else environments()))
