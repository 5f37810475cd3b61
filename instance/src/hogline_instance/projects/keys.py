"""Create, list and delete personal keys."""

import re
from collections.abc import Sequence

from sqlalchemy import delete, select

from hogline_instance.db import Database
from hogline_instance.projects.tables import PersonalKeyRow
from hogline_instance.projects.tokens import hash_key, new_token
from hogline_instance.web.errors import bad_request

__all__ = ["create_key", "delete_key", "keys_of", "read_scopes"]

_SCOPE = re.compile(r"\*|[a-z_]+:(read|write)")
_MAX_SCOPES = 50
_MAX_LABEL_CHARS = 40


def read_scopes(text: str) -> list[str]:
    """Return the scopes in *text*, separated by commas. Raises ApiError: one is invalid."""
    scopes = sorted({each.strip() for each in text.split(",") if each.strip()})
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise bad_request(
                "scopes", f"{scope[:50]!r} is not a scope; write one such as person:read, cohort:write or *"
            )
    if not 1 <= len(scopes) <= _MAX_SCOPES:
        raise bad_request("scopes", f"a key needs 1 to {_MAX_SCOPES} scopes; * allows everything")
    return scopes


def create_key(
    database: Database, project_id: int, *, label: str, scopes: Sequence[str], project_ids: Sequence[int] | None
) -> str:
    """Make a personal key, and return it; only its hash is kept."""
    if not label.strip():
        raise bad_request("label", "a key needs a label, so that people know which program uses it")
    key = new_token("phx_")
    with database.transaction() as session:
        session.add(
            PersonalKeyRow(
                project_id=project_id, key_hash=hash_key(key), label=label.strip()[:_MAX_LABEL_CHARS],
                scopes=list(scopes), project_ids=list(project_ids) if project_ids is not None else None,
            )
        )  # fmt: skip
    return key


def delete_key(database: Database, project_id: int, key_id: int) -> None:
    """Delete a labelled key of the project; the first key has no label and stays."""
    with database.transaction() as session:
        session.execute(
            delete(PersonalKeyRow).where(
                PersonalKeyRow.id == key_id, PersonalKeyRow.project_id == project_id, PersonalKeyRow.label.is_not(None)
            )
        )


def keys_of(database: Database, project_id: int) -> list[PersonalKeyRow]:
    """Return the keys whose `@current` is the project, oldest first."""
    with database.session() as session:
        rows = session.scalars(
            select(PersonalKeyRow).where(PersonalKeyRow.project_id == project_id).order_by(PersonalKeyRow.id)
        ).all()
        session.expunge_all()
    return list(rows)
