"""The pages of rules and limits: `/issues/rules`, and the editor of a rule."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from hogline_instance.errors.config import RATE_LIMITS, SPIKES, ConfigError, config_of, save_config
from hogline_instance.errors.rule_editing import RuleEditor
from hogline_instance.errors.rule_words import KNOWN_PROPERTIES, condition_words, effect_words, plain_filters
from hogline_instance.errors.rules import KINDS, SEVERITIES
from hogline_instance.services import Services
from hogline_instance.web.bodies import Form, form_text
from hogline_instance.web.errors import ApiError, bad_request, not_found
from hogline_instance.web.property_rows import OPERATORS, posted_filters
from hogline_instance.web.security import PAGE_HEADERS
from hogline_instance.web.site import Site

__all__ = ["build_router"]

_PATH = "/issues/rules"
_TITLES: Mapping[str, tuple[str, str]] = {
    "grouping": ("Grouping", "makes one issue of all exceptions that match."),
    "suppression": ("Suppression", "drops exceptions that match, all or a share of them, and counts them."),
    "assignment": ("Assignment", "assigns new and reopened issues."),
    "severity": ("Severity", "gives new issues a severity."),
    "bypass": ("Bypass", "lets exceptions pass the rate limits, uncounted."),
}
_EMPTY: Mapping[str, Any] = {
    "disabled_data": None, "description": "", "sampling_rate": None, "assignee": None, "severity": None,
}  # fmt: skip
_STEPS = {"up": -1, "down": 1}
_LIMITS: Mapping[str, tuple[tuple[str, str], ...]] = {
    RATE_LIMITS: (
        ("project_rate_limit_value", "Exceptions of the project"),
        ("project_rate_limit_bucket_size_minutes", "in each bucket of minutes"),
        ("per_issue_rate_limit_value", "Exceptions of one issue"),
        ("per_issue_rate_limit_bucket_size_minutes", "in each bucket of minutes"),
    ),
    SPIKES: (
        ("threshold", "Occurrences in 5 minutes, at least"),
        ("multiplier", "Times the usual number, more than"),
        ("snooze_duration_minutes", "Quiet minutes after a spike"),
    ),
}


def build_router(services: Services, site: Site) -> APIRouter:
    """Return the pages and their forms."""
    pages = _RulePages(services, site)
    return site.router(
        ("GET", _PATH, pages.get_rules),
        ("POST", "/issues/limits", pages.post_limits),
        ("GET", _PATH + "/{kind}/new", pages.get_new),
        ("POST", _PATH + "/{kind}/new", pages.post_new),
        ("GET", _PATH + "/{kind}/{rule_id}", pages.get_rule),
        ("POST", _PATH + "/{kind}/{rule_id}", pages.post_rule),
    )


class _RulePages:
    def __init__(self, services: Services, site: Site) -> None:
        self._database = services.database
        self._projects = services.projects
        self._templates = site.templates

    def get_rules(self, request: Request) -> Response:
        """Show the rules of every kind in their order, and the limits."""
        return self._list(request)

    def post_limits(self, request: Request, form: Form) -> Response:
        """Save the rate limits, or what a spike is."""
        name = _text(form, "name")
        try:
            if name not in _LIMITS:
                raise bad_request("name", f"there are no limits of the name {name[:50]!r}")
            given = {key: _number(_text(form, key)) for key, _ in _LIMITS[name] if key in form}
            with self._database.transaction() as session:
                save_config(session, name, self._projects.current().id, given)
        except ConfigError as error:
            return self._list(request, bad_request(error.name, str(error)))
        except ApiError as error:
            return self._list(request, error)
        return RedirectResponse(f"{_PATH}#{name}", 303, PAGE_HEADERS)

    def get_new(self, request: Request, kind: str) -> Response:
        """Show the form of a new rule."""
        return self._editor(request, _known(kind), None, {"filters": {"type": "AND", "values": []}})

    def post_new(self, request: Request, kind: str, form: Form) -> Response:
        """Add a rule after the others of its kind."""
        body: dict[str, Any] = {}
        try:
            body = _posted(_known(kind), form)
            RuleEditor(self._database, kind).create(self._projects.current(), body)
        except ApiError as error:
            return self._editor(request, kind, None, body, error)
        return RedirectResponse(f"{_PATH}#{kind}", 303, PAGE_HEADERS)

    def get_rule(self, request: Request, kind: str, rule_id: str) -> Response:
        """Show the form of a rule."""
        rule = RuleEditor(self._database, _known(kind)).get(self._projects.current(), rule_id)
        return self._editor(request, kind, rule_id, rule)

    def post_rule(self, request: Request, kind: str, rule_id: str, form: Form) -> Response:
        """Save, move or delete a rule."""
        editor, project = RuleEditor(self._database, _known(kind)), self._projects.current()
        action, body = _text(form, "action"), dict[str, Any]()
        if action == "delete":
            editor.delete(project, rule_id)
        elif action in _STEPS:
            editor.move(project, rule_id, _STEPS[action])
        else:
            try:
                body = _posted(kind, form)
                editor.change(project, rule_id, body)
            except ApiError as error:
                return self._editor(request, kind, rule_id, body, error)
        return RedirectResponse(f"{_PATH}#{kind}", 303, PAGE_HEADERS)

    def _list(self, request: Request, error: ApiError | None = None) -> Response:
        project = self._projects.current()
        kinds = []
        for kind in KINDS:
            rules = RuleEditor(self._database, kind).all(project)["results"]
            rows = [(each, condition_words(each["filters"]), effect_words(kind, each)) for each in rules]
            kinds.append((kind, *_TITLES[kind], rows))
        with self._database.session() as session:
            limits = {name: config_of(session, name, project.id) for name in _LIMITS}
        return self._templates.page(
            request, "errors/rules.html", error.status if error else 200, kinds=kinds, limits=limits, fields=_LIMITS,
            problem=error.body.detail if error else "",
        )  # fmt: skip

    def _editor(
        self, request: Request, kind: str, rule_id: str | None, rule: Mapping[str, Any], error: ApiError | None = None
    ) -> Response:
        if error is not None and error.status == 404:
            raise error
        filters = rule.get("filters") or {"type": "AND", "values": []}
        return self._templates.page(
            request, "errors/rule.html", error.status if error else 200, kind=kind, title=_TITLES[kind][0],
            about=_TITLES[kind][1], rule_id=rule_id, rule={**_EMPTY, **rule}, filters=filters, plain=plain_filters(filters),
            raw=json.dumps(filters, indent=2), operators=OPERATORS, severities=SEVERITIES, properties=KNOWN_PROPERTIES,
            problem=error.body.detail if error else "",
        )  # fmt: skip


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise not_found(f"There are rules of the kinds {', '.join(KINDS)}.")
    return kind


def _posted(kind: str, form: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the body of the API's call that the form stands for. Raises ApiError."""
    body: dict[str, Any] = {"filters": _posted_filters(form)}
    if kind == "grouping":
        body["description"] = _text(form, "description")
        body["assignee"] = _posted_assignee(form) if _text(form, "assignee").strip() else None
    elif kind == "suppression":
        share = _number(_text(form, "share"))
        body["sampling_rate"] = share / 100 if isinstance(share, (int, float)) else share
    elif kind == "assignment":
        body["assignee"] = _posted_assignee(form)
    elif kind == "severity":
        body["severity"] = _text(form, "severity")
    return body


def _posted_assignee(form: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {"type": _text(form, "assignee_type") or "user", "id": _text(form, "assignee").strip()}


def _posted_filters(form: Mapping[str, Sequence[str]]) -> Any:
    if "filters" in form:
        try:
            return json.loads(_text(form, "filters"))
        except (ValueError, RecursionError) as error:
            raise bad_request("filters", f"the filters must be JSON: {error}") from error
    values = posted_filters(form)
    if not values:
        raise bad_request("filters", "a rule needs a filter: fill in a property")
    return {"type": "OR" if _text(form, "group_type") == "OR" else "AND", "values": values}


def _number(text: str) -> Any:
    """Return the number in *text*, None when it is empty, or the text itself, which is then refused."""
    text = text.strip()
    try:
        return (float(text) if "." in text else int(text)) if text else None
    except ValueError:
        return text


def _text(form: Mapping[str, Sequence[str]], name: str) -> str:
    return form_text(form, name)[:100_000]
