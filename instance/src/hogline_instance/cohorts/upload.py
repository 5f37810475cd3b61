"""A CSV of ids that someone uploaded: which persons it names.

Source: docs/internals/management-api.md#cohorts.
"""

import csv
import io
from email.parser import BytesParser
from email.policy import HTTP
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.people import PersonRow, find_people, find_people_by_uuid
from hogline_instance.web.errors import invalid_field

__all__ = ["people_in_csv", "read_multipart"]

_HEADERS = {
    "person_id": "person", "person .id": "person", "distinct_id": "distinct", "distinct-id": "distinct", "email": "email", "e-mail": "email",
}  # fmt: skip
_PREFERENCE = ("person", "distinct", "email")


def read_multipart(body: bytes, content_type: str) -> dict[str, bytes]:
    """Return the parts of a multipart body by their names."""
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body
    )
    parts: dict[str, bytes] = {}
    if not message.is_multipart():
        raise invalid_field("csv", "invalid", "The multipart body cannot be read.")
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str):
            payload = part.get_payload(decode=True)
            parts[name] = payload if isinstance(payload, bytes) else b""
    return parts


def people_in_csv(session: Session, project_id: int, content: bytes) -> set[str]:
    """Return the uuids of the persons in *content*. Raises ApiError: it is empty, or no CSV."""
    try:
        rows = [
            row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) if any(cell.strip() for cell in row)
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise invalid_field("csv", "invalid", f"The file is not CSV in UTF-8: {error}") from error
    if not rows:
        raise invalid_field("csv", "empty", "CSV file is empty. Please upload a CSV file with at least one row.")
    kinds = [_HEADERS.get(cell.strip().lower()) for cell in rows[0]]
    kind = next((each for each in _PREFERENCE if each in kinds), None)
    if len(rows[0]) == 1 and kind in {None, "distinct"}:
        kind, column, values = "distinct", 0, rows
    elif kind is None:
        raise invalid_field(
            "csv", "invalid", "A file of several columns needs a header person_id, distinct_id or email."
        )
    else:
        column, values = kinds.index(kind), rows[1:]
    ids = {row[column].strip() for row in values if len(row) > column and row[column].strip()}
    return _found(session, project_id, kind, ids)


def _found(session: Session, project_id: int, kind: str, ids: set[str]) -> set[str]:
    if kind == "distinct":
        return {person.uuid for person in find_people(session, project_id, ids).values()}
    if kind == "person":
        return set(find_people_by_uuid(session, project_id, {str(UUID(each)) for each in ids if _is_uuid(each)}))
    folded = {each.lower() for each in ids}
    people = session.execute(select(PersonRow.uuid, PersonRow.properties).where(PersonRow.team_id == project_id))
    return {uuid for uuid, properties in people if str(properties.get("email", "")).lower() in folded}


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
