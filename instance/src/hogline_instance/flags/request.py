"""The question of a request to `/flags/`, read from its body, headers and query.

Source: docs/internals/flags-protocol.md#flags-endpoint.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FlagsRequest", "NoDistinctIdError", "read_flags_request", "runtime_of", "token_of"]

_MAX_ID_CHARACTERS = 200
_SERVER_AGENT = re.compile(
    r"posthog-(?:python|ruby|php|java|go|node|dotnet|elixir|server|rs)/|hogline/|python-requests/|curl/", re.IGNORECASE
)
_CLIENT_AGENT = re.compile(r"posthog-(?:js|android|ios|react-native|flutter)/|mozilla/", re.IGNORECASE)
_BROWSER_HEADERS = (b"origin", b"referer", b"sec-fetch-mode", b"sec-fetch-site")


class NoDistinctIdError(ValueError):
    """The request names nobody."""


@dataclass(frozen=True, slots=True)
class FlagsRequest:
    """Whom flags are evaluated for, and which."""

    distinct_id: str
    anon_distinct_id: str = ""
    device_id: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    person_properties: Mapping[str, Any] = field(default_factory=dict)
    group_properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_disabled: bool = False
    keys: frozenset[str] | None = None
    """The flags to answer; None for all."""
    contexts: frozenset[str] = frozenset()
    runtime: str = ""
    """`client`, `server`, or '' where neither the request nor its headers say."""
    only_surveys: bool = False


def token_of(body: Mapping[str, Any]) -> str:
    """Return the project token of a body, or ''."""
    found = (body.get(name) for name in ("token", "$token", "api_key"))
    return next((text.strip() for text in found if isinstance(text, str) and text.strip()), "")


def read_flags_request(
    body: Mapping[str, Any], headers: Mapping[bytes, bytes], query: Mapping[str, str]
) -> FlagsRequest:
    """Return what *body* asks for. A field of another type than expected counts as absent.

    Raises NoDistinctIdError: it has no distinct id.
    """
    person = _properties(body.get("person_properties"))
    distinct_id = _text(body.get("distinct_id")) or _text(body.get("$distinct_id"))
    if not distinct_id:
        raise NoDistinctIdError
    groups = {name: key for name, value in _mapping(body.get("groups")).items() if (key := _text(value))}
    given = _mapping(body.get("group_properties"))
    return FlagsRequest(
        distinct_id=distinct_id,
        anon_distinct_id=_text(body.get("$anon_distinct_id")) or _text(body.get("anon_distinct_id")),
        device_id=_text(body.get("$device_id")) or _text(body.get("device_id")) or _text(person.get("$device_id")),
        groups=groups,
        person_properties=person,
        group_properties={name: _properties(given.get(name)) for name in groups},
        is_disabled=body.get("disable_flags") is True,
        keys=_names(body, "flag_keys", "flag_keys_to_evaluate"),
        contexts=_names(body, "evaluation_contexts", "evaluation_environments") or frozenset(),
        runtime=runtime_of(body.get("evaluation_runtime"), headers),
        only_surveys=query.get("only_evaluate_survey_feature_flags") in ("true", "1"),
    )


def runtime_of(named: Any, headers: Mapping[bytes, bytes]) -> str:
    """Return where the request comes from: what it says, else what its headers say."""
    if named in ("client", "server"):
        return str(named)
    agent = headers.get(b"user-agent", b"").decode("latin-1")
    if _SERVER_AGENT.match(agent):
        return "server"
    if _CLIENT_AGENT.match(agent) or any(name in headers for name in _BROWSER_HEADERS):
        return "client"
    return ""


def _names(body: Mapping[str, Any], *names: str) -> frozenset[str] | None:
    for name in names:
        if isinstance(given := body.get(name), list):
            return frozenset(each for each in given if isinstance(each, str))
    return None


def _properties(value: Any) -> dict[str, Any]:
    """Return an object of properties; no name of a client's may have a NUL in it."""
    return {name: each for name, each in _mapping(value).items() if "\0" not in name}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).replace("\0", "\ufffd").strip()[:_MAX_ID_CHARACTERS]
