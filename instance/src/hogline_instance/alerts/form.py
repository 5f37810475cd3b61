"""The form of an alert: posted fields to a body as the API takes it, and back. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from hogline_instance.web.bodies import form_text
from hogline_instance.web.errors import ApiError
from hogline_instance.web.property_rows import posted_filters, value_text

__all__ = ["FIELDS", "given_filters", "posted_alert", "shown_filters"]

FIELDS: Mapping[str, tuple[str, str, str]] = {
    "type": ("$exception_types", "icontains", "Exception type contains"),
    "message": ("$exception_values", "icontains", "Message contains"),
    "library": ("$lib", "exact", "Library"),
    "release": ("$release", "exact", "Release"),
    "environment": ("$environment", "exact", "Environment"),
    "level": ("$exception_level", "exact", "Level"),
    "severity": ("$issue_severity", "exact", "Severity of the issue"),
    "status": ("$issue_status", "exact", "Status before it came back"),
}
"""The filters that have a field of their own: property, operator and label of each."""


def posted_alert(form: Mapping[str, Sequence[str]], *, is_new: bool) -> dict[str, Any]:
    """Return the fields of the form. A URL that is left empty stays as it is. Raises ApiError."""
    body: dict[str, Any] = {
        "name": form_text(form, "name"), "triggers": list(form.get("trigger", ())),
        "digest_after": _number(form_text(form, "digest_after")), "digest_minutes": _number(form_text(form, "digest_minutes")),
    }  # fmt: skip
    if "has_filters" in form:  # else the form could not show them
        body["filters"] = _filters(form)
    if is_new:
        body["kind"] = form_text(form, "kind")
    if is_new or form_text(form, "url").strip():
        body["url"] = form_text(form, "url")
    if is_new or "addresses" in form:
        body["addresses"] = [each for each in form_text(form, "addresses").replace(",", " ").split() if each]
    return body


def shown_filters(filters: Mapping[str, Any]) -> tuple[dict[str, str], list[dict[str, Any]]] | None:
    """Return the values of the form's own fields, and the other filters as rows.

    None when the form cannot show them: they have groups, or any of them suffices.
    """
    values = filters.get("values") or []
    if (len(values) > 1 and filters.get("type", "AND") != "AND") or any("values" in each for each in values):
        return None
    own: dict[str, str] = {}
    rows = []
    for each in values:
        name = next(
            (name for name, (key, operator, _) in FIELDS.items() if (each.get("key"), each.get("operator")) == (key, operator)),
            None,
        )  # fmt: skip
        if name is None or name in own:
            rows.append(dict(each))
        else:
            own[name] = value_text(each.get("value"))
    return own, rows


def given_filters(form: Mapping[str, Sequence[str]]) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return what `shown_filters` does, from a form that could not be saved."""
    own = {name: form_text(form, f"only_{name}") for name in FIELDS}
    try:
        return own, posted_filters(form)
    except ApiError:
        return own, []


def _filters(form: Mapping[str, Sequence[str]]) -> dict[str, Any] | None:
    values: list[dict[str, Any]] = []
    for name, (key, operator, _) in FIELDS.items():
        text = form_text(form, f"only_{name}").strip()
        if text:
            given = [part.strip() for part in text.split(",") if part.strip()] if operator == "exact" else text
            values.append({"type": "event", "key": key, "operator": operator, "value": given})
    values += posted_filters(form)
    return {"type": "AND", "values": values} if values else None


def _number(text: str) -> int | str:
    return int(text) if text.strip().isascii() and text.strip().isdigit() and len(text) < 10 else text
