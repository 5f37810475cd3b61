"""Flags: the values of a client's flags.

A value comes from the overrides, else from local evaluation of the definitions, else from the
server.

Neither the network nor a definition makes a call raise: a value that cannot be known is None, and
`$feature_flag_called` and the log say why.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hogline.flags.called_events import CalledEvents, SendCalled
from hogline.flags.evaluation import FlagValue, Ruleset, UnresolvedFlagReason
from hogline.flags.flow import Flow
from hogline.flags.overrides import Override, Overrides, forced
from hogline.flags.remote.cache_provider import Provider
from hogline.flags.remote.poller import DefinitionPoller
from hogline.flags.request import FlagRequest
from hogline.flags.results import (
    FeatureFlagResult,
    ForcedRecord,
    KnownRecord,
    LocalRecord,
    RemoteRecord,
    result_of,
    values_and_payloads,
)
from hogline.flags.server import FlagServer
from hogline.flags.snapshot import FeatureFlagEvaluations
from hogline.log_throttle import ThrottledLog
from hogline.settings import ClientSettings
from hogline.wire.flags import FlagsAnswer

__all__ = ["Flags"]

_INCONCLUSIVE = "local_evaluation_inconclusive"


class Flags:
    """The flags of one client: `client.flags`."""

    def __init__(
        self, settings: ClientSettings, send_called: SendCalled, lost_called: Callable[[Exception], None]
    ) -> None:
        self._settings = settings
        self._overrides = Overrides(settings)
        self._called_events = CalledEvents(settings.flag_called_max_entries, send_called, lost_called)
        self._throttled = ThrottledLog()
        self._is_closed = False
        self._is_offline = False
        self._leader: Flags | None = None
        local = bool(settings.secret_key) and settings.enable_local_evaluation
        self._server = FlagServer(settings, self._throttled)
        self._poller = DefinitionPoller(settings, self._server.requests) if local else None

    def set_offline(self, value: bool, leader: "Flags | None") -> None:
        """Set whether no request is made and nothing is evaluated.

        The forced values of *leader* then hold here too. For tests.
        """
        self._is_offline = self._server.is_offline = value
        self._leader = leader
        if self._poller is not None:
            self._poller.is_paused = value

    def _forced(self) -> Mapping[str, ForcedRecord]:
        if self._leader is None:
            return self._overrides.current()
        return {**self._overrides.current(), **self._leader._forced()}  # noqa: SLF001 - of the same class

    # -- methods for the user ----------------------------------------------------------------------

    def override(self, flags: Mapping[str, Any] | Iterable[str]) -> Override:
        """Force the values of *flags* in all threads of this process.

        They stay forced from now on, or for a `with` block.

        A mapping of keys to True, False, a variant, or `{"value": ..., "payload": ...}`; or the
        keys of flags that are to be on.
        Raises SettingsError: a value that no flag can have.
        """
        return Override(self._overrides, forced(flags))

    def clear_overrides(self) -> None:
        """Remove everything that `override()` forced."""
        self._overrides.clear()

    @property
    def ruleset(self) -> Ruleset | None:
        """The definitions that are loaded, ready to evaluate; None: there are none."""
        return self._poller.ruleset if self._poller is not None else None

    def close(self) -> None:
        """Stop polling for definitions, and shut down the app's cache provider."""
        if self._poller is not None:
            self._poller.close()
        elif self._settings.flag_definition_cache_provider is not None and not self._is_closed:
            Provider(
                self._settings.flag_definition_cache_provider, self._settings.flag_definitions_timeout_seconds
            ).close()
        self._is_closed = True

    def forget_called(self) -> None:
        """Forget which `$feature_flag_called` events were sent."""
        self._called_events.forget()

    # -- one flag ----------------------------------------------------------------------------------

    def known_now(self, key: str, request: FlagRequest) -> tuple[bool, LocalRecord | ForcedRecord | None]:
        """Return whether *key* can be evaluated without waiting, and the record of its value."""
        record = self._forced().get(key)
        if record is not None:
            return True, record
        source = self._poller
        if source is None or not source.is_ready or self._is_offline:
            return source is None, None
        ruleset = source.ruleset
        return True, _evaluate_one(ruleset, key, request) if ruleset is not None else None

    def read_now(
        self, key: str, fields: Mapping[str, Any], match_value: FlagValue | None, *, send_events: bool
    ) -> FeatureFlagResult | None:
        """Return the result of one flag if it is known without waiting."""
        request = FlagRequest.of(**fields)
        if request is None:
            return None
        record = self.known_now(key, request)[1]
        return (
            None
            if record is None
            else self.result_and_event(key, request, record, match_value, send_events=send_events)
        )

    def read(
        self,
        key: str,
        fields: Mapping[str, Any],
        *,
        match_value: FlagValue | None = None,
        only_locally: bool = False,
        send_events: bool = True,
    ) -> Flow[FeatureFlagResult | None]:
        """Return the result of one flag; None: it cannot be known, or no person is known.

        `FlagRequest.of` describes *fields*.
        """
        request = FlagRequest.of(**fields)
        if request is None:
            forced_record = self._forced().get(key)
            return None if forced_record is None else result_of(key, forced_record, match_value)
        known, record = self.known_now(key, request)
        if not known:
            ruleset = yield from self._ruleset()
            record = _evaluate_one(ruleset, key, request) if ruleset is not None else None
        if record is not None:
            return self.result_and_event(key, request, record, match_value, send_events=send_events)
        if only_locally:
            if self.ruleset is None:
                self._throttled.warning(
                    "definitions", "flag %r was to be evaluated locally, but no definitions are loaded", key
                )
            if send_events:
                self._called_events.called(
                    request, key, None, [_INCONCLUSIVE if self._may_define(key) else "flag_missing"]
                )
            return None
        request.keys = [key]
        return (yield from self._read_remotely(key, request, match_value, send_events=send_events))

    def result_and_event(
        self,
        key: str,
        request: FlagRequest,
        record: LocalRecord | ForcedRecord,
        match_value: FlagValue | None = None,
        *,
        send_events: bool = True,
    ) -> FeatureFlagResult | None:
        """Return the result of a record, and send the event about it."""
        if send_events and not isinstance(record, ForcedRecord):
            ruleset = self.ruleset
            minimal = ruleset is not None and ruleset.minimal_flag_called_events
            self._called_events.called(request, key, record, [], minimal=minimal)
        return result_of(key, record, match_value)

    def _read_remotely(
        self, key: str, request: FlagRequest, match_value: FlagValue | None, *, send_events: bool
    ) -> Flow[FeatureFlagResult | None]:
        answer, error = yield from self._server.answer(request)
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
            self._called_events.called(
                request, key, record, errors, answer=answer, minimal=answer.minimal_flag_called_events
            )
        return None if record is None else result_of(key, record, match_value)

    # -- all flags ---------------------------------------------------------------------------------

    def evaluate(self, fields: Mapping[str, Any], *, only_locally: bool = False) -> Flow[FeatureFlagEvaluations]:
        """Return the snapshot.

        Without a person it holds the forced values, and no request is made.
        """
        request = FlagRequest.of(**fields)
        if request is None or request.keys == []:
            return self.snapshot(request, dict(self._forced()) if request is None else {})
        ruleset = yield from self._ruleset()
        records, unresolved, is_incomplete = self._evaluate_locally(ruleset, request)
        answer = FlagsAnswer({})
        error = _INCONCLUSIVE if only_locally and ruleset is None else None
        minimal = ruleset is not None and ruleset.minimal_flag_called_events
        if is_incomplete and not only_locally:
            answer, error = yield from self._server.answer(request)
            wanted = answer.flags if request.keys is None else {key: answer.flags.get(key) for key in request.keys}
            records.update(
                {key: RemoteRecord(flag) for key, flag in wanted.items() if flag is not None and key not in records}
            )
            if error is None:
                minimal = answer.minimal_flag_called_events
        left = {key: reason for key, reason in unresolved.items() if key not in records or records[key].failed}
        return self.snapshot(request, records, answer=answer, error=error, minimal=minimal, unresolved=left)

    def all_values(
        self, fields: Mapping[str, Any], *, only_locally: bool = False
    ) -> Flow[tuple[dict[str, FlagValue], dict[str, Any]]]:
        """Return values and payload texts by key.

        If the server is asked, its answer replaces local values.
        """
        request = FlagRequest.of(**fields)
        if request is None:
            overrides = self._forced()
            return values_and_payloads(dict(overrides))
        ruleset = yield from self._ruleset()
        records, _, is_incomplete = self._evaluate_locally(ruleset, request)
        if is_incomplete and not only_locally:
            answer, error = yield from self._server.answer(request)
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

    def decide(self, fields: Mapping[str, Any]) -> Flow[FlagsAnswer]:
        """Return the server's answer as it is; an empty one where there is none."""
        request = FlagRequest.of(**fields)
        if request is None:
            return FlagsAnswer({})
        answer, _ = yield from self._server.answer(request, may_recall=False)
        return answer

    def snapshot(
        self,
        request: FlagRequest | None,
        records: Mapping[str, KnownRecord],
        *,
        answer: FlagsAnswer = FlagsAnswer({}),  # noqa: B008 - frozen
        error: str | None = None,
        minimal: bool = False,
        unresolved: Mapping[str, UnresolvedFlagReason] | None = None,
    ) -> FeatureFlagEvaluations:
        """Return *records* as a snapshot for the person of *request*."""
        return FeatureFlagEvaluations(
            records,
            tell=self._called_events.tell,
            distinct_id=request.distinct_id if request is not None else "",
            groups=request.groups if request is not None else None,
            disable_geoip=request.disable_geoip if request is not None else None,
            answer=answer,
            error=error,
            minimal=minimal,
            unresolved=unresolved,
        )

    def load(self) -> Flow[bool]:
        """Load the definitions now, and return whether there are any."""
        if self._poller is None:
            self._throttled.warning("secret_key", "flag definitions need a key: set secret_key (HOGLINE_SECRET_KEY)")
            return False
        if self._is_offline:
            return self.ruleset is not None
        return bool((yield self._poller.load))

    def remote_config(self, key: str) -> Flow[bytes | None]:
        """Return the response body with the payload of the remote config flag *key*.

        The result is None if the payload is unavailable.
        """
        return (yield from self._server.remote_config(key))

    # -- the steps ---------------------------------------------------------------------------------

    def _ruleset(self) -> Flow[Ruleset | None]:
        source = self._poller
        if source is None or self._is_offline:
            return None
        if source.is_ready:
            return source.ruleset
        ruleset: Ruleset | None = yield source.wait
        return ruleset

    def _evaluate_locally(
        self, ruleset: Ruleset | None, request: FlagRequest
    ) -> tuple[dict[str, KnownRecord], dict[str, UnresolvedFlagReason], bool]:
        """Return forced and local values, and the flags left unresolved.

        The last item says whether the server has to be asked.
        """
        overrides, keys = self._forced(), request.keys
        records: dict[str, KnownRecord] = {
            key: record for key, record in overrides.items() if keys is None or key in keys
        }
        unresolved: dict[str, UnresolvedFlagReason] = {}
        if ruleset is None:
            return records, unresolved, keys is None or any(key not in records for key in keys)
        subject = request.subject()
        is_incomplete = False
        for key in ruleset.definitions if keys is None else keys:
            if key in records:
                continue
            flag, verdict = ruleset.evaluate(key, subject)
            if verdict is None:
                is_incomplete = True  # it may be newer than the definitions
            elif verdict.value is None:
                is_incomplete = True
                unresolved[key] = verdict.unresolved or UnresolvedFlagReason.UNSUPPORTED_DEFINITION
            elif flag is not None:
                records[key] = LocalRecord(flag, verdict)
        return records, unresolved, is_incomplete

    def _may_define(self, key: str) -> bool:
        ruleset = self.ruleset
        return ruleset is None or key in ruleset


def _evaluate_one(ruleset: Ruleset, key: str, request: FlagRequest) -> LocalRecord | None:
    flag, verdict = ruleset.evaluate(key, request.subject())
    return None if flag is None or verdict is None or verdict.value is None else LocalRecord(flag, verdict)
