"""The pages of flags: the list at `/feature_flags`, a flag at `/feature_flags/{id}`, and its editor."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select

from hogline.flags.evaluation.operators import OPERATORS
from hogline_instance.cohorts import known_cohorts
from hogline_instance.definitions import GROUP, PERSON, property_names
from hogline_instance.exceptions import StoreError
from hogline_instance.flags.answers import Answer, describe
from hogline_instance.flags.changes import FIELDS, FlagEditor, find_row
from hogline_instance.flags.evaluation import subject_for
from hogline_instance.flags.explain import explain, filter_text
from hogline_instance.flags.flag_set import FlagSet, flag_sets
from hogline_instance.flags.form import FlagForm, form_of, read_flag_form
from hogline_instance.flags.queries import exposures, last_calls, recent_ids
from hogline_instance.flags.records import shown_filters, status_of
from hogline_instance.flags.remote_config import PayloadCipher
from hogline_instance.flags.request import FlagsRequest
from hogline_instance.flags.tables import FlagHistoryRow, FlagRow
from hogline_instance.people import person_values, shown_names
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.bodies import Form
from hogline_instance.web.charts import bars
from hogline_instance.web.errors import ApiError
from hogline_instance.web.security import PAGE_HEADERS
from hogline_instance.web.site import Site
from hogline_instance.web.templating import Templates

__all__ = ["build_router"]

_ACTOR = "somebody on the pages"
_PEOPLE = 15
_HISTORY = 50


def build_router(services: Services, site: Site) -> APIRouter:
    """Return the pages."""
    pages = _FlagPages(services, site.templates)
    return site.router(
        ("GET", "/feature_flags", pages.get_list),
        ("GET", "/feature_flags/new", pages.get_new),
        ("POST", "/feature_flags/new", pages.post_new),
        ("GET", "/feature_flags/{flag_id:int}", pages.get_flag),
        ("GET", "/feature_flags/{flag_id:int}/edit", pages.get_editor),
        ("POST", "/feature_flags/{flag_id:int}/edit", pages.post_editor),
        ("POST", "/feature_flags/{flag_id:int}/change", pages.post_change),
    )


class _FlagPages:
    def __init__(self, services: Services, templates: Templates) -> None:
        self._services = services
        self._templates = templates
        self._sets = flag_sets(services.database)
        self._editor = FlagEditor(services.database, PayloadCipher(services.settings.data_dir))

    # -- reading -----------------------------------------------------------------------------------

    def get_list(self, request: Request, search: str = "") -> Response:
        """Show the flags, the newest first."""
        project = self._services.projects.current()
        calls = self._last_calls(project)
        with self._services.database.session() as session:
            rows = session.scalars(
                select(FlagRow)
                .where(FlagRow.team_id == project.id, FlagRow.deleted.is_(False))
                .order_by(FlagRow.id.desc())
            ).all()
        shown = [
            (row, *status_of(row, calls.get(row.key)), calls.get(row.key), _summary(row))
            for row in rows
            if search.lower() in row.key.lower() or search.lower() in row.name.lower()
        ]
        return self._templates.page(request, "flags/flags.html", rows=shown, search=search, total=len(rows))

    def get_flag(
        self, request: Request, flag_id: int, distinct_id: str = "", group_type: str = "", group_key: str = "",
        key: Annotated[str, Query(alias="property")] = "", value: str = "",
    ) -> Response:  # fmt: skip
        """Show a flag: the people who see it, its calls, the tester, its history."""
        project = self._services.projects.current()
        row, history = self._row_and_history(project, flag_id)
        self._sets.refresh()
        flags = self._sets.of(project.id)
        asked = FlagsRequest(
            distinct_id[:200], groups={group_type: group_key} if group_type and group_key else {},
            person_properties={key: value} if key else {}, runtime="server",
        )  # fmt: skip
        calls = self._last_calls(project)
        return self._templates.page(
            request, "flags/flag.html", row=row, history=history, filters=shown_filters(row),
            state=status_of(row, calls.get(row.key)), last_call=calls.get(row.key), filter_text=filter_text,
            test=self._test(project, flags, row, asked) if distinct_id else None, asked=asked, distinct_id=distinct_id,
            group_type=group_type, group_key=group_key, key=key, value=value, group_types=flags.group_types,
            people=self._people(project, flags, row), exposed=self._exposed(project, row.key),
        )  # fmt: skip

    def _row_and_history(self, project: Project, flag_id: int) -> tuple[FlagRow, Sequence[FlagHistoryRow]]:
        with self._services.database.session() as session:
            row = find_row(session, project.id, flag_id)
            history = session.scalars(
                select(FlagHistoryRow)
                .where(FlagHistoryRow.flag_id == flag_id)
                .order_by(FlagHistoryRow.id.desc())
                .limit(_HISTORY)
            ).all()
        return row, history

    def _answer(self, project: Project, flags: FlagSet, row: FlagRow, asked: FlagsRequest) -> tuple[Answer | None, Any]:
        subject = subject_for(self._services.database, flags, project.id, asked)
        served = next((each for each in flags.flags if each.key == row.key), None)
        return (describe(flags, served, subject) if served is not None else None), subject

    def _test(self, project: Project, flags: FlagSet, row: FlagRow, asked: FlagsRequest) -> Mapping[str, Any]:
        answer, subject = self._answer(project, flags, row, asked)
        known = row.key in flags.ruleset.definitions
        return {"answer": answer, "conditions": explain(flags, row.key, subject) if known else ()}

    def _people(self, project: Project, flags: FlagSet, row: FlagRow) -> list[tuple[str, str, str, Answer | None]]:
        """Return people of recent events: a distinct id, the person's uuid, their name and answer."""
        try:
            ids = recent_ids(self._services.store, project.id, limit=_PEOPLE * 3)
        except StoreError:
            return []
        people = shown_names(self._services.database, project, ids)
        one_id = {people.get(each, ("", each)): each for each in reversed(ids)}
        found = [(each, *person) for person, each in reversed(one_id.items())][:_PEOPLE]
        return [
            (each, uuid, name, self._answer(project, flags, row, FlagsRequest(each, runtime="server"))[0])
            for each, uuid, name in found
        ]

    def _exposed(self, project: Project, key: str) -> Mapping[str, Any] | None:
        try:
            found = exposures(self._services.store, project.id, key)
        except StoreError:
            return None
        rows = [
            {
                "value": value, "calls": found.calls[value], "days": list(zip(found.days, counts, strict=True)),
                "chart": bars(counts, title=f"People who got {value} on each of the last {len(counts)} days", width=240, height=36),
            }
            for value, counts in found.values.items()
        ]  # fmt: skip
        return {"rows": rows, "days": found.days}

    def _last_calls(self, project: Project) -> dict[str, datetime]:
        try:
            return last_calls(self._services.store, project.id, now=datetime.now(UTC))
        except StoreError:
            return {}

    # -- writing -----------------------------------------------------------------------------------

    def get_new(self, request: Request) -> Response:
        """Show the editor of a new flag."""
        return self._editor_page(request, FlagForm(), None)

    def post_new(self, request: Request, fields: Form) -> Response:
        """Create a flag, or show the form again with what is wrong."""
        form = read_flag_form(fields, {})
        if "add" in fields or "remove" in fields:
            return self._editor_page(request, form, None)
        project = self._services.projects.current()
        try:
            row = self._editor.create(project.id, form.body(), _ACTOR)
        except ApiError as error:
            return self._editor_page(request, form, None, error.body.detail)
        self._sets.refresh()
        return _to_flag(row.id)

    def get_editor(self, request: Request, flag_id: int) -> Response:
        """Show the editor of a flag."""
        row, _ = self._row_and_history(self._services.projects.current(), flag_id)
        return self._editor_page(request, form_of(_fields(row)), row)

    def post_editor(self, request: Request, flag_id: int, fields: Form) -> Response:
        """Change a flag, or show the form again with what is wrong."""
        project = self._services.projects.current()
        row, _ = self._row_and_history(project, flag_id)
        form = read_flag_form(fields, form_of(_fields(row)).kept)
        if "add" in fields or "remove" in fields:
            return self._editor_page(request, form, row)
        try:
            self._editor.change(project.id, flag_id, form.body(), _ACTOR)
        except ApiError as error:
            return self._editor_page(request, form, row, error.body.detail)
        self._sets.refresh()
        return _to_flag(flag_id)

    def post_change(self, flag_id: int, fields: Form) -> Response:
        """Enable, disable, delete or restore a flag, or return to an entry of its history."""
        project = self._services.projects.current()
        entry = fields.get("entry", [""])[-1]
        changes = {
            "enable": {"active": True}, "disable": {"active": False}, "delete": {"deleted": True}, "restore": {"deleted": False},
        }.get(fields.get("do", [""])[-1])  # fmt: skip
        if entry.isascii() and entry.isdigit() and len(entry) < 10:
            self._editor.return_to(project.id, flag_id, int(entry), _ACTOR)
        elif changes is not None:
            self._editor.change(project.id, flag_id, changes, _ACTOR)
        self._sets.refresh()
        return _to_flag(flag_id)

    def _editor_page(self, request: Request, form: FlagForm, row: FlagRow | None, problem: str = "") -> Response:
        project = self._services.projects.current()
        keys = [each.key for condition in form.conditions for each in condition.filters if each.kind == "property"]
        with self._services.database.session() as session:
            names = property_names(session, project.id, PERSON)
            if any(condition.about for condition in form.conditions):
                names = list(dict.fromkeys([*names, *property_names(session, project.id, GROUP)]))
            values = person_values(session, project.id, keys)
            cohorts = known_cohorts(session, project.id)
            others = session.execute(
                select(FlagRow.id, FlagRow.key).where(FlagRow.team_id == project.id, FlagRow.deleted.is_(False))
            ).all()
        return self._templates.page(
            request, "flags/edit.html", 400 if problem else 200, form=form, row=row, problem=problem, names=names, values=values,
            operators=sorted(OPERATORS), group_types=self._sets.of(project.id).group_types, flags=others, cohorts=cohorts,
        )  # fmt: skip


def _fields(row: FlagRow) -> dict[str, Any]:
    return {**{name: getattr(row, name) for name in FIELDS}, "filters": shown_filters(row)}


def _to_flag(flag_id: int) -> Response:
    return RedirectResponse(f"/feature_flags/{flag_id}", 303, PAGE_HEADERS)


def _summary(row: FlagRow) -> str:
    filters = row.filters or {}
    groups = filters.get("groups") or []
    variants = (filters.get("multivariate") or {}).get("variants") or []
    if variants:
        return ", ".join(f"{each['key']} {each['rollout_percentage']:g} %" for each in variants)
    if not groups:
        return "those who enrol" if filters.get("feature_enrollment") else "nobody"
    if len(groups) > 1:
        return f"{len(groups)} condition sets"
    rollout = groups[0].get("rollout_percentage")
    whom = " and ".join(filter_text(each) for each in groups[0].get("properties") or []) or "everybody"
    return f"{100 if rollout is None else rollout:g} % of {whom}"
