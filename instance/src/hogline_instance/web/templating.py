"""Jinja templates: their loader, their filters, and the menu that every page shows."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

from hogline_instance.project import Project
from hogline_instance.web.property_rows import operator_words, value_text
from hogline_instance.web.security import PAGE_HEADERS

__all__ = ["MenuEntry", "Templates", "elapsed", "safe_link"]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """A link of the menu.

    It is marked as current on *path* and on every page whose path starts with *section*. Entries
    stand in the order of *place*.
    """

    label: str
    path: str
    place: int
    section: str | None = None

    def is_current(self, here: str) -> bool:
        """Return whether the page at *here* belongs to this entry."""
        return here == self.path or (self.section is not None and here.startswith(self.section))


class Templates:
    """Renders the pages of all features.

    A package of *packages* may keep templates in `templates/<feature>/`.
    """

    def __init__(
        self,
        *,
        menu: Sequence[MenuEntry],
        packages: Sequence[str],
        can_sign_out: bool,
        current_project: Callable[[], Project],
    ) -> None:
        environment = Environment(
            loader=ChoiceLoader([PackageLoader(package) for package in packages if _has_templates(package)]),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(
            clock=clock,
            day=day,
            elapsed=elapsed,
            offset=offset,
            link=safe_link,
            segment=segment,
            query=query,
            path=path_of,
            short_commit=short_commit,
            filter_value=_filter_value,
            operator=operator_words,
        )
        environment.globals.update(menu=tuple(menu), can_sign_out=can_sign_out, current_project=current_project)
        self._environment = environment

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return *template* rendered with *values*, with the pages' security headers."""
        html = self._environment.get_template(template).render(here=request.url.path, **values)
        return HTMLResponse(html, status, PAGE_HEADERS)

    def problem(self, request: Request, status: int, detail: str) -> HTMLResponse:
        """Return an error as a page."""
        phrase = HTTPStatus(status).phrase
        return self.page(request, "problem.html", status, code=status, phrase=phrase, detail=detail)


def _filter_value(value: object) -> str:
    # PostHog stores the operators without a value as their own value.
    return "" if value in ("is_set", "is_not_set") else value_text(value)


def _has_templates(package: str) -> bool:
    return files(package).joinpath("templates").is_dir()


def clock(moment: datetime) -> str:
    """Return '14:03:12.480'."""
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def day(moment: datetime) -> str:
    """Return '24 Nov 2026'."""
    return f"{moment.day} {moment.strftime('%b %Y')}"


def elapsed(span: timedelta) -> str:
    """Return a duration as text: '180 ms', '4.2 s', '12 min', '3 h 20 min'."""
    seconds = abs(span.total_seconds())
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        whole, rest = divmod(round(seconds), 60)
        return f"{whole} min {rest} s" if whole < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"


def offset(span: timedelta) -> str:
    """Return a signed duration, such as '+180 ms'."""
    return ("\N{MINUS SIGN}" if span < timedelta(0) else "+") + elapsed(span)


def short_commit(version: str) -> str:
    """Return a git commit's first twelve digits; any other version as it is."""
    return version[:12] if _COMMIT.fullmatch(version) else version


def safe_link(url: object) -> str:
    """Return *url* if it is an http or https link, which is safe to click, else ''."""
    text = str(url)
    if len(text) > 4_000 or any(ord(character) <= 0x20 for character in text):
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in {"http", "https"} and parts.netloc else ""


def segment(text: object) -> str:
    """Return *text* escaped as one path segment."""
    return quote(str(text), safe="")


def query(values: dict[str, object]) -> str:
    """Return *values* as a query string, without the empty ones."""
    return urlencode({name: value for name, value in values.items() if value not in {None, ""}})


def path_of(url: object) -> str:
    """Return the path and query of *url*, or the text itself if it is not a URL."""
    try:
        parts = urlsplit(str(url))
    except ValueError:
        return str(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "") if parts.netloc else str(url)
