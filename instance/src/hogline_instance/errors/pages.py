"""The pages of issues: the list at `/issues`, and one issue at `/issue/{id}`."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from hogline_instance.db import aware
from hogline_instance.errors import rule_pages
from hogline_instance.errors.history import history_of, merged_into
from hogline_instance.errors.issue_forms import change_by_form, change_selected
from hogline_instance.errors.issues import STATUSES, Issue, find_issue, fingerprints_of, issue_of_fingerprint
from hogline_instance.errors.listing import ORDERS, IssueQuestion, list_page
from hogline_instance.errors.markdown import markdown
from hogline_instance.errors.occurrences import queries as occurrences
from hogline_instance.errors.occurrences.comparison import MIN_OCCURRENCES, MIN_OTHERS, in_common
from hogline_instance.errors.occurrences.facts import facts, flags
from hogline_instance.errors.prepared import release_of
from hogline_instance.errors.queries import IssueFilter
from hogline_instance.errors.releases import commit_link
from hogline_instance.errors.rules import SEVERITIES
from hogline_instance.errors.session_line import line_around
from hogline_instance.errors.source_maps import pages as source_map_pages
from hogline_instance.errors.source_maps.resolver import SymbolResolver
from hogline_instance.errors.stack import failures, resolve_again
from hogline_instance.events.event import StoredEvent
from hogline_instance.events.summary import custom_preview, summarize
from hogline_instance.services import Services
from hogline_instance.web.bodies import form_text
from hogline_instance.web.charts import bars, sparkline
from hogline_instance.web.date_range import DateRangeError, date_range
from hogline_instance.web.errors import bad_request, not_found
from hogline_instance.web.routes import join_routers
from hogline_instance.web.security import PAGE_HEADERS
from hogline_instance.web.site import Site
from hogline_instance.web.templating import Templates

__all__ = ["build_router"]

_PER_PAGE = 50
_BUCKETS = 28
_DAYS = 30
_MAX_FORM_BYTES = 64 * 1024
_FIRST = "first"
_PERIODS = {"-24h": "24 hours", "-7d": "7 days", "-30d": "30 days", "-90d": "90 days", "all": "all time"}


def build_router(services: Services, site: Site) -> APIRouter:
    """Return the pages of issues, of rules and of source maps, with their forms."""
    return join_routers(
        rule_pages.build_router(services, site), source_map_pages.build_router(services, site), _issues(services, site)
    )


def _issues(services: Services, site: Site) -> APIRouter:
    pages = _IssuePages(services, site.templates)
    return site.router(
        ("GET", "/issues", pages.get_issues),
        ("POST", "/issues", pages.post_issues),
        ("GET", "/issue/by-fingerprint", pages.get_by_fingerprint),
        ("GET", "/issue/{issue_id}", pages.get_issue),
        ("POST", "/issue/{issue_id}", pages.post_issue),
        ("GET", "/issue/{issue_id}/markdown", pages.get_markdown),
    )


class _IssuePages:
    def __init__(self, services: Services, templates: Templates) -> None:
        self._services = services
        self._templates = templates
        self._symbols = SymbolResolver()
        self._beside = ThreadPoolExecutor(4, "issue-page")

    def get_issues(self, request: Request) -> Response:
        """Show the issues that pass the filter."""
        services, project = self._services, self._services.projects.current()
        given = request.query_params
        values = {
            name: given.get(name, default)[:1_000]
            for name, default in (
                ("status", "active"), ("search", ""), ("release", ""), ("library", ""), ("environment", ""), ("handled", ""),
                ("assignee", ""), ("order", "last_seen"), ("period", "-7d"),
            )
        }  # fmt: skip
        offset = int(given.get("offset", "0")) if given.get("offset", "0").isdecimal() else 0
        asked = _question(values, min(offset, 1_000_000))
        listed, has_more = list_page(services.database, services.store, project.id, asked)
        rows = [(each, sparkline(each.volume, title=f"Volume of {each.issue.name[:100]}")) for each in listed]
        return self._templates.page(
            request, "errors/issues.html", rows=rows, values=values, statuses=STATUSES, orders=ORDERS, periods=_PERIODS,
            older=urlencode({**values, "offset": offset + _PER_PAGE}) if has_more else "", paged=offset > 0,
            first=urlencode(values), here_with_query=str(request.url.query),
        )  # fmt: skip

    async def post_issues(self, request: Request) -> Response:
        """Change the selected issues."""
        form = await _form(request)
        await _in_thread(self._change_selected, form)
        return RedirectResponse(f"/issues?{form_text(form, 'back')}", 303, PAGE_HEADERS)

    def _change_selected(self, form: Mapping[str, Sequence[str]]) -> None:
        project = self._services.projects.current()
        with self._services.database.transaction() as session:
            change_selected(session, project.id, form)

    def get_by_fingerprint(self, fingerprint: str) -> Response:
        """Redirect to the issue of a fingerprint, which may have moved since the event came."""
        project = self._services.projects.current()
        with self._services.database.session() as session:
            issue_id = issue_of_fingerprint(session, project.id, fingerprint)
        if issue_id is None:
            raise not_found("No issue has this fingerprint.")
        return RedirectResponse(f"/issue/{issue_id}", 303, PAGE_HEADERS)

    def get_issue(self, request: Request, issue_id: str, event: str | None = None) -> Response:
        """Show one issue with one of its occurrences: the latest, or the chosen one."""
        services, project = self._services, self._services.projects.current()
        found = self._found(issue_id)
        if isinstance(found, str):
            return RedirectResponse(f"/issue/{found}", 303, PAGE_HEADERS)
        issue, fingerprints, history = found
        shown = self._occurrence(fingerprints, event)
        # What stands beside the occurrence is many small queries, so they run while the large ones do.
        around = self._beside.submit(copy_context().run, self._around, shown, fingerprints, is_newest=not event)
        totals = occurrences.totals(services.store, project.id, fingerprints, days=_DAYS)
        circumstances = self._circumstances(shown, fingerprints, totals)
        return self._templates.page(
            request, "errors/issue.html", issue=issue, totals=totals, event=shown, history=history, statuses=STATUSES,
            trend=bars(totals.volume, title=f"Occurrences a day over {_DAYS} days", width=220, height=40), days=_DAYS,
            line=summarize, preview=custom_preview, fingerprints=fingerprints, severities=SEVERITIES,
            **around.result(), **circumstances,
        )  # fmt: skip

    async def post_issue(self, request: Request, issue_id: str) -> Response:
        """Change the issue by the fields of one of its forms."""
        await _in_thread(self._change, issue_id, await _form(request))
        return RedirectResponse(f"/issue/{issue_id}", 303, PAGE_HEADERS)

    def get_markdown(self, request: Request, issue_id: str, event: str | None = None) -> Response:
        """Return the issue as Markdown."""
        services, project = self._services, self._services.projects.current()
        found = self._found(issue_id)
        if isinstance(found, str):
            return RedirectResponse(f"/issue/{found}/markdown", 303, PAGE_HEADERS)
        issue, fingerprints, _ = found
        shown = self._occurrence(fingerprints, event)
        totals = occurrences.totals(services.store, project.id, fingerprints, days=_DAYS)
        url = str(request.url.replace(path=f"/issue/{issue.id}", query=""))
        text = markdown(issue, totals, shown, failures(shown) if shown else (), url)
        return PlainTextResponse(text, headers=PAGE_HEADERS)

    def _change(self, issue_id: str, form: Mapping[str, Sequence[str]]) -> None:
        project = self._services.projects.current()
        with self._services.database.transaction() as session:
            if not change_by_form(session, project.id, issue_id, form):
                raise not_found("This project has no issue with that id.")

    def _found(self, issue_id: str) -> tuple[Issue, list[str], list[dict[str, Any]]] | str:
        """Return an issue, its fingerprints and its history, or the id of the one it was merged into.

        Links to merged issues stay, in alerts and chats.
        """
        project = self._services.projects.current()
        with self._services.database.session() as session:
            issue = find_issue(session, project.id, issue_id)
            if issue is None:
                survivor = merged_into(session, project.id, issue_id)
                if survivor is None:
                    raise not_found("This project has no issue with that id.")
                return survivor
            fingerprints = [row.fingerprint for row in fingerprints_of(session, project.id, issue_id)]
            history = [
                {"activity": row.activity, "actor": row.actor, "detail": row.detail, "at": aware(row.created_at)}
                for row in history_of(session, project.id, issue_id)
            ]
        return issue, fingerprints, history

    def _occurrence(self, fingerprints: list[str], uuid: str | None) -> StoredEvent | None:
        store, project = self._services.store, self._services.projects.current()
        if not uuid:
            return occurrences.newest(store, project.id, fingerprints)
        if uuid == _FIRST:
            return occurrences.oldest(store, project.id, fingerprints)
        try:
            found = occurrences.occurrence(store, project.id, fingerprints, str(UUID(uuid)))
        except ValueError:
            found = None
        if found is None:
            raise not_found("This issue has no occurrence with that id.")
        return found

    def _around(self, event: StoredEvent | None, fingerprints: list[str], *, is_newest: bool) -> dict[str, Any]:
        """Return what stands beside one occurrence."""
        if event is None:
            return {
                "chain": (), "session_line": None, "older": None, "newer": None, "release": "", "commit": "", "facts": (), "flags": (),
            }  # fmt: skip
        store, project = self._services.store, self._services.projects.current()
        older = occurrences.neighbour(store, project.id, fingerprints, event, newer=False)
        newer = None if is_newest else occurrences.neighbour(store, project.id, fingerprints, event, newer=True)
        release = release_of(event.properties)
        with self._services.database.session() as session:
            # A map may have come after the event.
            resolve_again(event, self._symbols.for_events(session, [event])(event))
            commit = commit_link(session, project.id, release) if release else ""
        return {
            "chain": failures(event), "session_line": line_around(store, project.id, event), "older": older,
            "newer": newer, "release": release, "commit": commit, "facts": facts(event), "flags": flags(event),
        }  # fmt: skip

    def _circumstances(
        self, event: StoredEvent | None, fingerprints: list[str], totals: occurrences.Totals
    ) -> dict[str, Any]:
        """Return whom the issue met, where, and what its occurrences have in common."""
        empty: dict[str, Any] = {"people": [], "sessions": [], "breakdowns": [], "common": [], "support": (0, 0)}
        if event is None:
            return empty
        store, project = self._services.store, self._services.projects.current()
        after, (recent, many) = datetime.now(UTC) - timedelta(days=_DAYS), occurrences.compared_since(totals.volume)
        people, sessions = occurrences.people_and_sessions(store, project.id, fingerprints, after=after, recent=recent)
        library = event.text("$lib")
        seen, others = occurrences.compared(store, project.id, fingerprints, library=library, after=recent, many=many)
        breakdowns = occurrences.breakdowns(store, project.id, fingerprints, after=after)
        routes = occurrences.routes(seen, sum(totals.volume))
        return {
            "people": people, "sessions": sessions, "common": in_common(seen, others),
            "support": (MIN_OCCURRENCES, MIN_OTHERS), "breakdowns": breakdowns + ([routes] if routes else []),
        }  # fmt: skip


def _question(values: Mapping[str, str], offset: int) -> IssueQuestion:
    try:
        after, before = date_range(values["period"], None, now=datetime.now(UTC))
    except DateRangeError as error:
        raise bad_request("period", str(error)) from error
    handled = {"yes": True, "no": False}.get(values["handled"])
    return IssueQuestion(
        wanted=IssueFilter(
            after, before, search=values["search"], release=values["release"] or None, library=values["library"] or None,
            environment=values["environment"] or None, handled=handled,
        ),
        status=values["status"] if values["status"] in STATUSES else None,
        assignee={"type": "user", "id": values["assignee"]} if values["assignee"] else None,
        order=values["order"] if values["order"] in ORDERS else "last_seen",
        limit=_PER_PAGE, offset=offset, buckets=_BUCKETS,
    )  # fmt: skip


async def _form(request: Request) -> dict[str, list[str]]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            raise bad_request("form", f"a form may have {_MAX_FORM_BYTES} bytes; select fewer issues")
    return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=1_100)


async def _in_thread(function: Any, *arguments: Any) -> None:
    await asyncio.to_thread(function, *arguments)
