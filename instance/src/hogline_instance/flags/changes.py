"""Create and change flags: each change is checked, counted as a version, and kept in the history."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hogline_instance.db import Database, utc_now
from hogline_instance.flags.filters import checked_filters
from hogline_instance.flags.known import Known, KnownFlag, dependencies
from hogline_instance.flags.neighbours import cohorts_of
from hogline_instance.flags.remote_config import REDACTED, PayloadCipher
from hogline_instance.flags.tables import EarlyAccessRow, FlagHistoryRow, FlagRow
from hogline_instance.projects import recordings_use_flag
from hogline_instance.web.errors import ApiError, invalid_field, not_found

__all__ = ["FIELDS", "FlagEditor", "find_row", "known_to", "moment"]

_KEY = re.compile(r"[a-zA-Z0-9_-]+")
_MAX_KEY_CHARACTERS = 400
_BOOLEANS = (
    "active", "archived", "deleted", "ensure_experience_continuity", "is_remote_configuration", "has_encrypted_payloads",
)  # fmt: skip
_CHOICES = {
    "evaluation_runtime": ("all", "client", "server"),
    "bucketing_identifier": ("distinct_id", "device_id"),
}
FIELDS = ("key", "name", "filters", *_BOOLEANS, *_CHOICES, "evaluation_contexts", "tags")
"""The fields whose changes are kept."""
_MAX_TAGS = 100
_EVERYBODY: dict[str, Any] = {"groups": [{"properties": [], "rollout_percentage": 100}]}


def known_to(session: Session, project_id: int) -> Known:
    """Return the live flags and the cohorts of a project."""
    rows = session.scalars(select(FlagRow).where(FlagRow.team_id == project_id, FlagRow.deleted.is_(False)))
    flags = {row.id: KnownFlag(row.id, row.key, row.active, row.filters or {}) for row in rows}
    return Known(flags, cohorts_of(session, project_id).filters)


class FlagEditor:
    """Changes flags in one database. *cipher* encrypts the payloads of encrypted remote config."""

    def __init__(self, database: Database, cipher: PayloadCipher) -> None:
        self._database = database
        self._cipher = cipher

    def create(self, project_id: int, body: Mapping[str, Any], actor: str) -> FlagRow:
        """Add a flag, and return it. Raises ApiError: *body* is not accepted."""
        try:
            with self._database.transaction() as session:
                row = self.create_in(session, project_id, body, actor)
                session.expunge(row)
        except IntegrityError:
            raise _taken() from None
        return row

    def create_in(self, session: Session, project_id: int, body: Mapping[str, Any], actor: str) -> FlagRow:
        """Add a flag in the transaction of *session*."""
        if body.get("key") is None:
            raise invalid_field("key", "required", "This field is required.")
        values = _checked_fields(body)
        known = known_to(session, project_id)
        if any(flag.key == values["key"] for flag in known.flags.values()):
            raise _taken()
        given = body.get("filters")
        if given is None:
            percentage = body.get("rollout_percentage")
            given = (
                _EVERYBODY if percentage is None else {"groups": [{"properties": [], "rollout_percentage": percentage}]}
            )
        filters = checked_filters(given, known, flag_id=None)
        if not filters["groups"] and not filters.get("feature_enrollment"):
            raise invalid_field("filters", "invalid_input", 'A flag needs at least one condition set; an empty one, {"properties": [], "rollout_percentage": 100}, matches everybody.')  # fmt: skip
        # Terraform and others send `deleted: false` with every request.
        row = FlagRow(
            team_id=project_id, **{**_DEFAULTS, **values, "deleted": False}, filters=filters, version=1,
            created_by=actor[:200], last_modified_by=actor[:200], created_at=utc_now(), updated_at=utc_now(),
        )  # fmt: skip
        row.live_key = row.key
        _check_whole(row)
        self._encrypt(row, {})
        session.add(row)
        session.flush()
        _note(session, row, "created", actor, [])
        return row

    def change(self, project_id: int, flag_id: int, body: Mapping[str, Any], actor: str) -> FlagRow:
        """Change the fields in *body*. Raises ApiError: it is not accepted, or there is no such flag."""
        try:
            with self._database.transaction() as session:
                row = self.change_in(session, project_id, flag_id, body, actor)
                session.expunge(row)
        except IntegrityError:
            raise _taken() from None
        return row

    def change_in(
        self, session: Session, project_id: int, flag_id: int, body: Mapping[str, Any], actor: str
    ) -> FlagRow:
        """Change a flag in the transaction of *session*."""
        row = find_row(session, project_id, flag_id)
        _check_conflict(row, body)
        known = known_to(session, project_id)
        before = _fields(row)
        values = _checked_fields(body)
        if body.get("filters") is not None:
            values["filters"] = checked_filters(body["filters"], known, flag_id=flag_id)
        elif body.get("rollout_percentage") is not None:
            given = {**row.filters, "groups": [{"properties": [], "rollout_percentage": body["rollout_percentage"]}]}
            values["filters"] = checked_filters(given, known, flag_id=flag_id)
        _check_use(session, row, values, known)
        self._apply(row, values, known)
        row.live_key = None if row.deleted else row.key
        if any(flag.key == row.live_key and flag.id != row.id for flag in known.flags.values()):
            raise _taken()
        _check_whole(row)
        self._encrypt(row, before["filters"])
        row.version += 1
        row.updated_at = utc_now()
        row.last_modified_by = actor[:200]
        session.flush()
        _note(session, row, _activity(before, row), actor, _differences(before, _fields(row)))
        return row

    def return_to(self, project_id: int, flag_id: int, entry_id: int, actor: str) -> FlagRow:
        """Give a flag the fields that it had after an entry of its history."""
        with self._database.session() as session:
            entry = session.scalar(
                select(FlagHistoryRow).where(
                    FlagHistoryRow.id == entry_id,
                    FlagHistoryRow.flag_id == flag_id,
                    FlagHistoryRow.team_id == project_id,
                )
            )
            if entry is None:
                raise not_found("This flag has no such entry in its history.")
            fields = {name: value for name, value in entry.fields.items() if name in FIELDS}
        return self.change(project_id, flag_id, fields, actor)

    def _apply(self, row: FlagRow, values: dict[str, Any], known: Known) -> None:
        for name, value in values.items():
            if name == "deleted" and row.deleted and value is False and "key" not in values:
                taken = {flag.key for flag in known.flags.values()}
                number, key = 2, row.key
                while row.key in taken:
                    row.key = f"{key}-{number}"
                    number += 1
            setattr(row, name, value)

    def _encrypt(self, row: FlagRow, before: Mapping[str, Any]) -> None:
        """Encrypt the payloads that are new; the marker that a client was shown means no change."""
        if not row.has_encrypted_payloads:
            return
        held = before.get("payloads") or {}
        payloads = {
            key: held.get(key, value) if value == REDACTED else (value if value == held.get(key) else self._cipher.encrypt(value))
            for key, value in (row.filters.get("payloads") or {}).items()
        }  # fmt: skip
        row.filters = {**row.filters, "payloads": payloads}


def find_row(session: Session, project_id: int, flag_id: int) -> FlagRow:
    """Return a flag of the project, also a deleted one. Raises ApiError: there is none."""
    row = session.get(FlagRow, flag_id)
    if row is None or row.team_id != project_id:
        raise not_found()
    return row


_DEFAULTS: dict[str, Any] = {
    "name": "", "active": True, "archived": False, "ensure_experience_continuity": False, "bucketing_identifier": None,
    "evaluation_runtime": "all", "evaluation_contexts": [], "tags": [], "is_remote_configuration": False,
    "has_encrypted_payloads": False,
}  # fmt: skip


def _checked_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of *body* apart from filters; unknown ones are passed over."""
    values: dict[str, Any] = {}
    if "key" in body:
        values["key"] = _checked_key(body["key"])
    if body.get("name") is not None:
        if not isinstance(body["name"], str):
            raise invalid_field("name", "invalid", "Not a valid string.")
        values["name"] = body["name"].replace("\0", "")[:10_000]
    for name in _BOOLEANS:
        if body.get(name) is not None:
            if not isinstance(body[name], bool):
                raise invalid_field(name, "invalid", "Must be a valid boolean.")
            values[name] = body[name]
    for name, choices in _CHOICES.items():
        if name in body and (body[name] is not None or name == "bucketing_identifier"):
            if body[name] is not None and body[name] not in choices:
                raise invalid_field(
                    name,
                    "invalid_choice",
                    f'"{str(body[name])[:50]}" is not a valid choice. Use one of: {", ".join(choices)}.',
                )
            values[name] = body[name]
    for name, given in (
        ("tags", "tags"),
        ("evaluation_contexts", "evaluation_tags"),
        ("evaluation_contexts", "evaluation_contexts"),
    ):
        if body.get(given) is not None:
            values[name] = _texts(given, body[given])
    return values


def _checked_key(key: Any) -> str:
    if not isinstance(key, str):
        raise invalid_field("key", "null" if key is None else "invalid", "The key must be a text.")
    if not key:
        raise invalid_field("key", "blank", "This field may not be blank.")
    if len(key) > _MAX_KEY_CHARACTERS:
        raise invalid_field(
            "key", "max_length", f"Ensure this field has no more than {_MAX_KEY_CHARACTERS} characters."
        )
    if not _KEY.fullmatch(key):
        raise invalid_field("key", "invalid_key", "Only letters, numbers, hyphens (-) & underscores (_) are allowed.")
    return key


def _texts(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > _MAX_TAGS or not all(isinstance(each, str) for each in value):
        raise invalid_field(name, "invalid", f"Must be a list of at most {_MAX_TAGS} texts.")
    return list(dict.fromkeys(each.strip()[:200] for each in value if each.strip()))


def _check_whole(row: FlagRow) -> None:
    if row.ensure_experience_continuity and row.bucketing_identifier == "device_id":
        raise invalid_field(
            "non_field_errors",
            "invalid_input",
            "A flag that is bucketed by device keeps its answer across a login already: switch ensure_experience_continuity off.",
        )
    if row.archived and row.active:
        raise invalid_field("non_field_errors", "invalid_input", "An archived flag cannot be active: disable it too.")
    if row.has_encrypted_payloads and not row.is_remote_configuration:
        raise invalid_field(
            "non_field_errors",
            "invalid_input",
            "Only remote config flags can have encrypted payloads: set is_remote_configuration too.",
        )


def _check_use(session: Session, row: FlagRow, values: Mapping[str, Any], known: Known) -> None:
    """Refuse to delete, rename or disable what others need, and to enable what needs a disabled flag."""
    deletes = values.get("deleted") is True and not row.deleted
    disables = values.get("active") is False and row.active
    names = ", ".join(flag.key for flag in known.dependents(row.id, only_active=not deletes))
    if names and (deletes or disables):
        raise invalid_field(
            "non_field_errors", "invalid_input", f"Other flags depend on this one: {names}. Change them first."
        )
    if deletes and (feature := session.scalar(select(EarlyAccessRow).where(EarlyAccessRow.flag_id == row.id))):
        raise invalid_field(
            "non_field_errors",
            "invalid_input",
            f"The early access feature {feature.name!r} uses this flag; delete that first.",
        )
    renames = values.get("key", row.key) != row.key
    if (deletes or renames) and recordings_use_flag(session, row.team_id, row.id, row.key):
        raise invalid_field(
            "non_field_errors",
            "invalid_input",
            f"The project records the sessions for which the flag {row.key!r} is on (setting"
            " session_recording_linked_flag); choose another flag there first.",
        )
    if values.get("active") is True and not row.active:
        filters = values.get("filters") or row.filters
        disabled = [
            known.flags[each].key
            for each in dependencies(filters)
            if each in known.flags and not known.flags[each].active
        ]
        if disabled:
            raise invalid_field(
                "non_field_errors",
                "invalid_input",
                f"The flag depends on disabled flags: {', '.join(disabled)}. Enable them first.",
            )


def _check_conflict(row: FlagRow, body: Mapping[str, Any]) -> None:
    """Refuse a change that was made from an old version of the same field."""
    version, original = body.get("version"), body.get("original_flag")
    if (
        not isinstance(version, int)
        or isinstance(version, bool)
        or version >= row.version
        or not isinstance(original, Mapping)
    ):
        return
    current = _fields(row)
    changed = [name for name in FIELDS if name in body and name in original and original[name] != current[name]]
    if changed:
        raise ApiError(
            409, "invalid_request", "conflict",
            f"The flag was changed by {row.last_modified_by or 'somebody else'} since you read it ({', '.join(changed)}); read it again.",
        )  # fmt: skip


def _fields(row: FlagRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FIELDS}


def _activity(before: Mapping[str, Any], row: FlagRow) -> str:
    if before["deleted"] != row.deleted:
        return "deleted" if row.deleted else "restored"
    return "updated"


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "FeatureFlag", "action": "changed", "field": name, "before": before[name], "after": after[name]}
        for name in FIELDS
        if before[name] != after[name]
    ]


def _note(session: Session, row: FlagRow, activity: str, actor: str, changes: list[dict[str, Any]]) -> None:
    session.add(
        FlagHistoryRow(
            team_id=row.team_id, flag_id=row.id, activity=activity, actor=actor[:200], version=row.version,
            changes=changes, fields=_fields(row), created_at=utc_now(),
        )
    )  # fmt: skip


def moment(value: datetime | None) -> str | None:
    """Return a time of the database as PostHog writes it; SQLite gives it without its zone."""
    if value is None:
        return None
    utc = value if value.tzinfo is None else value.astimezone(UTC)
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _taken() -> ApiError:
    return invalid_field("key", "unique", "There is already a feature flag with this key.")
