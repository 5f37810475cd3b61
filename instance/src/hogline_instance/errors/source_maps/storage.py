"""Symbol sets and releases in SQL. A set's bytes lie in parts, since a row of 100 MB would be slow."""

import hashlib
import secrets
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

from sqlalchemy import Select, delete, func, insert, select
from sqlalchemy.orm import Session

from hogline_instance.errors.source_maps.container import MAX_CONTAINER_BYTES
from hogline_instance.errors.tables import ReleaseRow, SymbolPartRow, SymbolSetRow

__all__ = [
    "SymbolError",
    "count_sets",
    "delete_set",
    "find_release",
    "finish",
    "list_sets",
    "make_release",
    "start",
    "store_bytes",
    "store_set",
]

_PART_BYTES = 4 * 1024 * 1024
_MAX_REF = 1_000


class SymbolError(ValueError):
    """An upload is refused; *code* is PostHog's name for the reason."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def start(
    session: Session, project_id: int, wanted: Sequence[Mapping[str, Any]], *, force: bool
) -> dict[str, SymbolSetRow]:
    """Return a set to upload for each chunk; chunks whose stored content is the same are left out.

    Raises SymbolError.
    """
    refs = [str(each.get("chunk_id") or "")[:_MAX_REF] for each in wanted]
    if len(set(refs)) < len(refs) or "" in refs:
        raise SymbolError("invalid_chunk_ids", "each symbol set needs a chunk_id of its own")
    _require_releases(session, project_id, {str(each["release_id"]) for each in wanted if each.get("release_id")})
    known = {
        row.ref: row
        for row in session.scalars(
            select(SymbolSetRow).where(SymbolSetRow.team_id == project_id, SymbolSetRow.ref.in_(refs))
        )
    }
    started: dict[str, SymbolSetRow] = {}
    for ref, each in zip(refs, wanted, strict=True):
        row, given = known.get(ref), each.get("content_hash")
        if row is not None and row.content_hash is not None and not force:
            _require_same(row, each)
            if given == row.content_hash:
                continue
        if row is None:
            row = SymbolSetRow(id=str(uuid.uuid4()), team_id=project_id, ref=ref, is_stored=False, size_bytes=0)
            session.add(row)
        row.release_id = str(each["release_id"]) if each.get("release_id") else row.release_id
        row.upload_token = secrets.token_hex(32)
        row.content_hash = None
        started[ref] = row
    session.flush()
    return started


def store_bytes(session: Session, row: SymbolSetRow, file: BinaryIO) -> None:
    """Keep the uploaded bytes of *row*. Raises SymbolError: they are too many."""
    session.execute(delete(SymbolPartRow).where(SymbolPartRow.set_id == row.id))
    size = number = 0
    while part := file.read(_PART_BYTES):
        size += len(part)
        if size > MAX_CONTAINER_BYTES:
            raise SymbolError("file_too_large", f"a symbol set may have {MAX_CONTAINER_BYTES} bytes")
        session.execute(insert(SymbolPartRow), [{"set_id": row.id, "number": number, "data": part}])
        number += 1
    row.is_stored, row.size_bytes, row.failure_reason = size > 0, size, None


def finish(session: Session, project_id: int, hashes: Mapping[str, Any]) -> None:
    """Make the uploaded sets usable. Raises SymbolError: one was not uploaded."""
    rows = session.scalars(select(SymbolSetRow).where(SymbolSetRow.team_id == project_id, SymbolSetRow.id.in_(hashes)))
    found = {row.id: row for row in rows}
    for set_id, content_hash in hashes.items():
        row = found.get(set_id)
        if row is None or not row.is_stored:
            raise SymbolError("file_not_found", f"symbol set {str(set_id)[:50]} has no uploaded file")
        row.content_hash, row.upload_token = str(content_hash)[:200], None


def store_set(
    session: Session, project_id: int, ref: str, file: BinaryIO | None, *, content_hash: str, failure: str | None = None
) -> SymbolSetRow:
    """Keep a set that was fetched, or the reason why it could not be."""
    row = session.scalar(select(SymbolSetRow).where(SymbolSetRow.team_id == project_id, SymbolSetRow.ref == ref))
    if row is None:
        row = SymbolSetRow(id=str(uuid.uuid4()), team_id=project_id, ref=ref, is_stored=False, size_bytes=0)
        session.add(row)
        session.flush()
    if file is not None:
        store_bytes(session, row, file)
    row.content_hash, row.failure_reason = content_hash, failure
    return row


def list_sets(
    session: Session, project_id: int, status: str | None, *, limit: int, offset: int = 0
) -> Sequence[SymbolSetRow]:
    """Return symbol sets of a project, newest first; *status* may be `valid` or `invalid`."""
    query = _with_status(project_id, status).order_by(SymbolSetRow.created_at.desc(), SymbolSetRow.id)
    return session.scalars(query.limit(limit).offset(offset)).all()


def count_sets(session: Session, project_id: int, status: str | None = None) -> int:
    """Return how many symbol sets a project has."""
    return session.scalar(select(func.count()).select_from(_with_status(project_id, status).subquery())) or 0


def _with_status(project_id: int, status: str | None) -> Select[SymbolSetRow]:
    query = select(SymbolSetRow).where(SymbolSetRow.team_id == project_id)
    if status == "valid":
        query = query.where(SymbolSetRow.content_hash.is_not(None), SymbolSetRow.failure_reason.is_(None))
    elif status == "invalid":
        query = query.where(SymbolSetRow.failure_reason.is_not(None))
    return query


def delete_set(session: Session, project_id: int, set_id: str) -> bool:
    """Delete a set; return False when there is none."""
    row = session.get(SymbolSetRow, set_id)
    if row is None or row.team_id != project_id:
        return False
    session.execute(delete(SymbolPartRow).where(SymbolPartRow.set_id == set_id))
    session.delete(row)
    return True


def make_release(session: Session, project_id: int, body: Mapping[str, Any]) -> ReleaseRow:
    """Return the release with the body's hash, made when it is new."""
    version, project = str(body.get("version") or "")[:400], str(body.get("project") or "")[:400]
    hash_id = str(body.get("hash_id") or hashlib.sha512((project + version).encode()).hexdigest())[:128]
    row = find_release(session, project_id, hash_id)
    if row is None:
        details = body.get("metadata")
        row = ReleaseRow(
            id=str(uuid.uuid4()), team_id=project_id, hash_id=hash_id, version=version, project=project,
            details=dict(details) if isinstance(details, Mapping) else None,
        )  # fmt: skip
        session.add(row)
        session.flush()
    return row


def find_release(session: Session, project_id: int, hash_id: str) -> ReleaseRow | None:
    """Return the release with this hash, or None."""
    return session.scalar(select(ReleaseRow).where(ReleaseRow.team_id == project_id, ReleaseRow.hash_id == hash_id))


def _require_releases(session: Session, project_id: int, ids: Iterable[str]) -> None:
    wanted = set(ids)
    query = select(ReleaseRow.id).where(ReleaseRow.team_id == project_id, ReleaseRow.id.in_(wanted))
    if wanted and (unknown := wanted - set(session.scalars(query))):
        raise SymbolError("invalid_release_id", f"this project has no release {min(unknown)[:50]}")


def _require_same(row: SymbolSetRow, wanted: Mapping[str, Any]) -> None:
    if wanted.get("content_hash") and wanted["content_hash"] != row.content_hash:
        raise SymbolError("content_hash_mismatch", f"chunk {row.ref[:100]} is stored with other content")
    if wanted.get("release_id") and row.release_id and wanted["release_id"] != row.release_id:
        raise SymbolError("release_id_mismatch", f"chunk {row.ref[:100]} belongs to another release")
