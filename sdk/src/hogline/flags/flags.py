"""Flags: one person's flags, from the overrides, else the rules at hand, else the server.

Nothing here raises at the caller for what the network or a definition does: what cannot be known is None, with the reason on
`$feature_flag_called` and in the log.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from hogline.flags.called_events import Reporter, SendCalled
from hogline.flags.evaluation import FlagValue, Ruleset, UnresolvedFlagReason
from hogline.flags.flow import Flow
from hogline.flags.overrides import Override, Overrides, forced
from hogline.flags.remote.lazy_imports import import_flag_requests
from hogline.flags.remote.poller import FlagSource
from hogline.flags.request import Question
from hogline.flags.results import (
    FeatureFlagResult,
    ForcedRecord,
    KnownRecord,
    LocalRecord,
    RemoteRecord,
    result_of,
    values_and_payloads,
)
from hogline.flags.snapshot import FeatureFlagEvaluations
from hogline.settings import ClientSettings
from hogline.wire.flags import FlagsAnswer, FlagsUnavailable, RemoteFlag, encode_question

__all__ = ["Flags"]

_log = logging.getLogger("hogline")
_getpid = os.getpid
_LOG_EVERY_S = 60.0
_NOT_HERE = "local_evaluation_inconclusive"


class Flags:
    """What a client holds of its flags: `client.flags`."""

    def __init__(
        self, settings: ClientSettings, send_called: SendCalled, lost_called: Callable[[Exception], None]
    ) -> None:
        self._settings = settings
        self._overrides = Overrides(settings)
        self._reporter = Reporter(settings.flag_called_max_entries, send_called, lost_called)
        self._requests_of: tuple[int, Any] = (0, None)  # the pid that made them, and the requests
        self._warned_at_s: dict[str, float] = {}
        self.offline = False
        """True: nobody is asked; for tests."""
        local = bool(settings.secret_key) and settings.enable_local_evaluation
        self._source = FlagSource(settings, self._requests) if local else None
        self._fallback = _fallback(settings)

    # -- what a user may call -----------------------------------------------------------------------------------------

    def override(self, flags: Mapping[str, Any] | Iterable[str]) -> Override:
        """Force the answers of *flags*, from now on or for a `with` block, in all threads of this process.

        A mapping of keys to True, False, a variant, or `{"value": ..., "payload": ...}`; or keys that are to be on.
        Raises SettingsError: a value that no flag can have.
        """
        return Override(self._overrides, forced(flags))

    def clear_overrides(self) -> None:
        """Take back all that `override()` forced."""
        self._overrides.clear()

    @property
    def ruleset(self) -> Ruleset | None:
        """The rules at hand; None: none are loaded."""
        return self._source.ruleset if self._source is not None else None

    def close(self) -> None:
        """Stop asking for definitions."""
        if self._source is not None:
            self._source.close()

    def forget_called(self) -> None:
        """Forget which `$feature_flag_called` events were sent."""
        self._reporter.forget()

    # -- one flag -----------------------------------------------------------------------------------------------------

    def at_hand(self, key: str, question: Question) -> tuple[bool, LocalRecord | ForcedRecord | None]:
        """Return what can be said of *key* without waiting: whether anything can, and the record."""
        record = self._overrides.current().get(key)
        if record is not None:
            return True, record
        source = self._source
        if source is None or not source.is_ready:
            return source is None, None
        ruleset = source.ruleset
        return True, _local(ruleset, key, question) if ruleset is not None else None

    def read_at_hand(
        self, key: str, about: Mapping[str, Any], match_value: FlagValue | None, *, send_events: bool
    ) -> FeatureFlagResult | None:
        """Return the answer of one flag if it can be given without waiting for anything."""
        question = Question.about(**about)
        if question is None:
            return None
        record = self.at_hand(key, question)[1]
        return None if record is None else self.said(key, question, record, match_value, send_events=send_events)

    def read(
        self,
        key: str,
        about: Mapping[str, Any],
        *,
        match_value: FlagValue | None = None,
        only_locally: bool = False,
        send_events: bool = True,
    ) -> Flow[FeatureFlagResult | None]:
        """Return the answer of one flag; None: it cannot be known, or nobody is asked about. *about*: see `Question.about`."""
        question = Question.about(**about)
        if question is None:
            forced_one = self._overrides.current().get(key)
            return None if forced_one is None else result_of(key, forced_one, match_value)
        known, record = self.at_hand(key, question)
        if not known:
            ruleset = yield from self._rules()
            record = _local(ruleset, key, question) if ruleset is not None else None
        if record is not None:
            return self.said(key, question, record, match_value, send_events=send_events)
        if only_locally:
            if self.ruleset is None:
                self._warn("definitions", "flag %r was to be evaluated locally, but no definitions are loaded", key)
            if send_events:
                self._reporter.called(question, key, None, [_NOT_HERE if self._may_define(key) else "flag_missing"])
            return None
        question.keys = [key]
        return (yield from self._read_remotely(key, question, match_value, send_events=send_events))

    def said(
        self,
        key: str,
        question: Question,
        record: LocalRecord | ForcedRecord,
        match_value: FlagValue | None = None,
        *,
        send_events: bool = True,
    ) -> FeatureFlagResult | None:
        """Return the result of a record at hand, and send the event about it."""
        if send_events and not isinstance(record, ForcedRecord):
            ruleset = self.ruleset
            minimal = ruleset is not None and ruleset.minimal_flag_called_events
            self._reporter.called(question, key, record, [], minimal=minimal)
        return result_of(key, record, match_value)

    def _read_remotely(
        self, key: str, question: Question, match_value: FlagValue | None, *, send_events: bool
    ) -> Flow[FeatureFlagResult | None]:
        answer, error = yield from self._answer(question)
        flag = answer.flags.get(key)
        record = RemoteRecord(flag) if flag is not None else None
        errors = [error] if error is not None else []
        if answer.errors_while_computing:
            errors.append("errors_while_computing_flags")
        if flag is not None and flag.failed:
            errors.append("evaluation_failed")
        elif flag is not None and flag.malformed:
            errors, answer = ["unknown_error"], FlagsAnswer({})
        elif flag is None and error is None:
            errors.append("flag_missing")
        if send_events:
            self._reporter.called(
                question, key, record, errors, answer=answer, minimal=answer.minimal_flag_called_events
            )
        return None if record is None else result_of(key, record, match_value)

    # -- all flags ----------------------------------------------------------------------------------------------------

    def evaluate(self, about: Mapping[str, Any], *, only_locally: bool = False) -> Flow[FeatureFlagEvaluations]:
        """Return the snapshot. Without anybody to ask about it holds what is forced, and no request is made."""
        question = Question.about(**about)
        if question is None or question.keys == []:
            return self.snapshot(question, dict(self._overrides.current()) if question is None else {})
        ruleset = yield from self._rules()
        records, unresolved, is_short = self._evaluate_here(ruleset, question)
        answer = FlagsAnswer({})
        error = _NOT_HERE if only_locally and ruleset is None else None
        minimal = ruleset is not None and ruleset.minimal_flag_called_events
        if is_short and not only_locally:
            answer, error = yield from self._answer(question)
            wanted = answer.flags if question.keys is None else {key: answer.flags.get(key) for key in question.keys}
            records.update(
                {key: RemoteRecord(flag) for key, flag in wanted.items() if flag is not None and key not in records}
            )
            if error is None:
                minimal = answer.minimal_flag_called_events
        left = {key: reason for key, reason in unresolved.items() if key not in records or records[key].failed}
        return self.snapshot(question, records, answer=answer, error=error, minimal=minimal, unresolved=left)

    def all_values(
        self, about: Mapping[str, Any], *, only_locally: bool = False
    ) -> Flow[tuple[dict[str, FlagValue], dict[str, Any]]]:
        """Return values and payload texts by key. Where the server is asked, its answer replaces what the rules say."""
        question = Question.about(**about)
        if question is None:
            forced_ = self._overrides.current()
            return values_and_payloads(dict(forced_))
        ruleset = yield from self._rules()
        records, _, is_short = self._evaluate_here(ruleset, question)
        if is_short and not only_locally:
            answer, error = yield from self._answer(question)
            if error is None:
                kept = {
                    key: record
                    for key, record in records.items()
                    if isinstance(record, ForcedRecord) or (key in answer.flags and answer.flags[key].failed)
                }
                records = {key: RemoteRecord(flag) for key, flag in answer.flags.items() if not flag.failed} | kept
            else:
                records = {key: RemoteRecord(flag) for key, flag in answer.flags.items()} | records
        return values_and_payloads(records)

    def decide(self, about: Mapping[str, Any]) -> Flow[FlagsAnswer]:
        """Return the server's answer as it is; an empty one where there is none."""
        question = Question.about(**about)
        if question is None:
            return FlagsAnswer({})
        answer, _ = yield from self._answer(question, may_recall=False)
        return answer

    def snapshot(
        self,
        question: Question | None,
        records: Mapping[str, KnownRecord],
        *,
        answer: FlagsAnswer = FlagsAnswer({}),  # noqa: B008 - frozen
        error: str | None = None,
        minimal: bool = False,
        unresolved: Mapping[str, UnresolvedFlagReason] | None = None,
    ) -> FeatureFlagEvaluations:
        """Return *records* as a snapshot of whom *question* is about."""
        return FeatureFlagEvaluations(
            records,
            tell=self._reporter.tell,
            distinct_id=question.distinct_id if question is not None else "",
            groups=question.groups if question is not None else None,
            disable_geoip=question.disable_geoip if question is not None else None,
            answer=answer,
            error=error,
            minimal=minimal,
            unresolved=unresolved,
        )

    def load(self) -> Flow[bool]:
        """Ask for the definitions now; returns whether there are any."""
        if self._source is None:
            self._warn("secret_key", "flag definitions need a key: set secret_key (HOGLINE_SECRET_KEY)%s", "")
            return False
        if self.offline:
            return self.ruleset is not None
        return bool((yield self._source.load))

    def remote_config(self, key: str) -> Flow[bytes | None]:
        """Return the body that says the payload of the remote config flag *key*; None: there is none to be had."""
        if not self._settings.secret_key:
            self._warn("secret_key", "remote config %r needs a key: set secret_key (HOGLINE_SECRET_KEY)", key)
            return None
        if self.offline:
            return None
        try:
            body: bytes = yield lambda: self._requests().remote_config(key)
        except FlagsUnavailable as error:
            self._warn(error.code, "remote config %r is not to be had: %s", key, error)
            return None
        return body

    # -- the steps ----------------------------------------------------------------------------------------------------

    def _rules(self) -> Flow[Ruleset | None]:
        source = self._source
        if source is None or self.offline:
            return None
        if source.is_ready:
            return source.ruleset
        ruleset: Ruleset | None = yield source.wait
        return ruleset

    def _evaluate_here(
        self, ruleset: Ruleset | None, question: Question
    ) -> tuple[dict[str, KnownRecord], dict[str, UnresolvedFlagReason], bool]:
        """Return what is forced and what the rules say, what they leave open, and whether the server has to be asked."""
        overrides, keys = self._overrides.current(), question.keys
        records: dict[str, KnownRecord] = {
            key: record for key, record in overrides.items() if keys is None or key in keys
        }
        unresolved: dict[str, UnresolvedFlagReason] = {}
        if ruleset is None:
            return records, unresolved, keys is None or any(key not in records for key in keys)
        subject = question.subject()
        is_short = False
        for key in ruleset.definitions if keys is None else keys:
            if key in records:
                continue
            flag, verdict = ruleset.evaluate(key, subject)
            if verdict is None:
                is_short = True  # it may have been made since the last look
            elif verdict.value is None:
                is_short = True
                unresolved[key] = verdict.unresolved or UnresolvedFlagReason.UNSUPPORTED_DEFINITION
            elif flag is not None:
                records[key] = LocalRecord(flag, verdict)
        return records, unresolved, is_short

    def _answer(self, question: Question, *, may_recall: bool = True) -> Flow[tuple[FlagsAnswer, str | None]]:
        """Return the server's answer; or the word for why there is none, with what it said before if that is kept."""
        answer, error = yield from self._asked(question)
        fallback = self._fallback
        if fallback is None or not may_recall or self.offline:
            return answer, error
        who = question.digest()
        if error is None:
            yield lambda: fallback.remember(who, answer.flags)
            return answer, None
        known: dict[str, RemoteFlag] = yield lambda: fallback.recall(who)
        keys = question.keys
        return FlagsAnswer({key: flag for key, flag in known.items() if keys is None or key in keys}), error

    def _asked(self, question: Question) -> Flow[tuple[FlagsAnswer, str | None]]:
        if self.offline:
            return FlagsAnswer({}), "connection_error"
        settings = self._settings
        geoip = settings.disable_geoip if question.disable_geoip is None else question.disable_geoip
        body = encode_question(
            token=settings.project_token,
            distinct_id=question.distinct_id,
            groups=question.groups,
            person_properties=question.person_properties,
            group_properties=question.group_properties,
            geoip_disable=geoip,
            device_id=question.device_id,
            flag_keys=question.keys,
            sent_at=datetime.now(UTC).isoformat(),
        )
        try:
            answer: FlagsAnswer = yield lambda: self._requests().ask(body)
        except FlagsUnavailable as error:
            self._warn(error.code, "no answer about flags from %s: %s", settings.host, error)
            return FlagsAnswer({}), error.code
        except Exception as error:
            self._warn("unknown_error", "asking %s about flags failed: %r", settings.host, error)
            return FlagsAnswer({}), "unknown_error"
        return answer, None

    def _requests(self) -> Any:
        pid, requests = self._requests_of
        if pid != _getpid():  # a child never uses its parent's connections
            settings = self._settings
            requests = import_flag_requests()(
                settings.host,
                settings.project_token,
                secret_key=settings.secret_key,
                timeout_s=settings.feature_flags_request_timeout_seconds,
                definitions_timeout_s=settings.flag_definitions_timeout_seconds,
                max_retries=settings.feature_flags_request_max_retries,
            )
            self._requests_of = (_getpid(), requests)
        return requests

    def _may_define(self, key: str) -> bool:
        ruleset = self.ruleset
        return ruleset is None or key in ruleset

    def _warn(self, subject: str, message: str, *args: Any) -> None:
        """Log at most once a minute for each subject."""
        now_s = time.monotonic()
        if now_s - self._warned_at_s.get(subject, -_LOG_EVERY_S) >= _LOG_EVERY_S:
            self._warned_at_s[subject] = now_s
            _log.warning("hogline: " + message, *args)


def _fallback(settings: ClientSettings) -> Any:
    if not settings.flag_fallback_cache_url:
        return None
    from hogline.flags.remote.fallback_cache import Fallback  # few have one

    return Fallback(
        settings.flag_fallback_cache_url,
        namespace=hashlib.sha256(f"{settings.host}\n{settings.project_token}".encode()).hexdigest()[:16],
        timeout_s=settings.feature_flags_request_timeout_seconds,
    )


def _local(ruleset: Ruleset, key: str, question: Question) -> LocalRecord | None:
    flag, verdict = ruleset.evaluate(key, question.subject())
    return None if flag is None or verdict is None or verdict.value is None else LocalRecord(flag, verdict)
