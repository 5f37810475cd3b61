"""Evaluate a project's flags for a request, with what is stored of its person and groups."""

from collections.abc import Mapping

from sqlalchemy.exc import SQLAlchemyError

from hogline.flags.evaluation import Subject
from hogline_instance.db import Database
from hogline_instance.events.person_ids import person_uuid
from hogline_instance.flags.answers import Answer, answers, subject_of
from hogline_instance.flags.flag_set import FlagSet
from hogline_instance.flags.hash_keys import keep_hash_keys, read_hash_keys
from hogline_instance.flags.neighbours import StoredPeople, people_at_once, stored_people
from hogline_instance.flags.request import FlagsRequest

__all__ = ["evaluate", "evaluate_at_once", "subject_for"]


def evaluate(database: Database, flags: FlagSet, project_id: int, request: FlagsRequest) -> tuple[list[Answer], bool]:
    """Return the answers, and whether something stored could not be read.

    While the database is unavailable, flags answer by what the request itself says.
    """
    failed = False
    try:
        subject = subject_for(database, flags, project_id, request, writes=True)
    except SQLAlchemyError:
        failed = True
        subject = subject_of(flags, request, StoredPeople(), _of_request(flags, request))
    return answers(flags, request, subject), failed


def evaluate_at_once(
    database: Database, flags: FlagSet, project_id: int, request: FlagsRequest
) -> tuple[list[Answer], bool] | None:
    """Return what `evaluate` returns, or None where that may have to wait: the event loop calls it.

    Groups, listed cohorts and answers that are kept across a login need more than one statement.
    """
    if request.groups or flags.cohorts.listed or flags.continuity_keys:
        return None
    stored = people_at_once(database, project_id, request.distinct_id, request.anon_distinct_id)
    return None if stored is None else (answers(flags, request, subject_of(flags, request, stored, {})), False)


def subject_for(
    database: Database, flags: FlagSet, project_id: int, request: FlagsRequest, *, writes: bool = False
) -> Subject:
    """Return whom a request is about. With *writes* their hash keys are kept for later requests."""
    if not flags.reads_people:
        return subject_of(flags, request, StoredPeople(), {})
    ids = [request.distinct_id, *([request.anon_distinct_id] if request.anon_distinct_id else [])]
    stored = stored_people(
        database, project_id, request.distinct_id, request.anon_distinct_id, request.groups,
        group_types=flags.group_types, with_cohorts=bool(flags.cohorts.listed),
    )  # fmt: skip
    if not flags.continuity_keys:
        return subject_of(flags, request, stored, {})
    known = list(dict.fromkeys(stored.uuids[each] for each in ids if each in stored.uuids))
    # A person who does not exist yet will get the id that follows from one of these.
    uuids = known[:1] or [person_uuid(project_id, each) for each in ids]
    with database.session() as session:
        kept = read_hash_keys(session, project_id, known or uuids)
    wanted = _of_request(flags, request)
    fresh = {key: value for key, value in wanted.items() if key not in kept}
    if writes and fresh:
        keep_hash_keys(database, project_id, uuids, fresh)
    return subject_of(flags, request, stored, {**wanted, **kept})


def _of_request(flags: FlagSet, request: FlagsRequest) -> Mapping[str, str]:
    if not request.anon_distinct_id:
        return {}
    return dict.fromkeys(flags.continuity_keys, request.anon_distinct_id)
