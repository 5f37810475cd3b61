"""The server of a client's flags, and the earlier answers that stand in for it while it is away."""

import hashlib
import os
from datetime import UTC, datetime
from typing import Any

from hogline.flags.flow import Flow
from hogline.flags.remote.lazy_imports import import_flag_requests
from hogline.flags.request import FlagRequest
from hogline.log_throttle import ThrottledLog
from hogline.settings import ClientSettings
from hogline.wire.flags import FlagsAnswer, FlagsUnavailable, RemoteFlag, encode_request

__all__ = ["FlagServer"]

_getpid = os.getpid


class FlagServer:
    """Asks the server about flags. While it is offline, it makes no request."""

    def __init__(self, settings: ClientSettings, throttled: ThrottledLog) -> None:
        self.is_offline = False
        self._settings = settings
        self._throttled = throttled
        self._requests_and_pid: tuple[int, Any] = (0, None)  # and the process that made them
        self._fallback = _fallback(settings)

    def answer(self, request: FlagRequest, *, may_recall: bool = True) -> Flow[tuple[FlagsAnswer, str | None]]:
        """Return the server's answer, or an error code.

        With the code comes the earlier answer that the fallback cache has.
        """
        answer, error = yield from self._ask(request)
        fallback = self._fallback
        if fallback is None or not may_recall or self.is_offline:
            return answer, error
        cache_key = request.digest()
        if error is None:
            yield lambda: fallback.remember(cache_key, answer.flags)
            return answer, None
        known: dict[str, RemoteFlag] = yield lambda: fallback.recall(cache_key)
        keys = request.keys
        return FlagsAnswer({key: flag for key, flag in known.items() if keys is None or key in keys}), error

    def remote_config(self, key: str) -> Flow[bytes | None]:
        """Return the response body with the payload of the remote config flag *key*.

        The result is None if the payload is unavailable.
        """
        if not self._settings.secret_key:
            self._throttled.warning(
                "secret_key", "remote config %r needs a key: set secret_key (HOGLINE_SECRET_KEY)", key
            )
            return None
        if self.is_offline:
            return None
        try:
            body: bytes = yield lambda: self.requests().remote_config(key)
        except FlagsUnavailable as error:
            self._throttled.warning(error.code, "remote config %r unavailable: %s", key, error)
            return None
        return body

    def requests(self) -> Any:
        """Return what makes the requests of this process."""
        pid, requests = self._requests_and_pid
        if pid != _getpid():  # a forked child must not use its parent's connections
            settings = self._settings
            requests = import_flag_requests()(
                settings.host,
                settings.project_token,
                secret_key=settings.secret_key,
                timeout_s=settings.feature_flags_request_timeout_seconds,
                definitions_timeout_s=settings.flag_definitions_timeout_seconds,
                max_retries=settings.feature_flags_request_max_retries,
            )
            self._requests_and_pid = (_getpid(), requests)
        return requests

    def _ask(self, request: FlagRequest) -> Flow[tuple[FlagsAnswer, str | None]]:
        if self.is_offline:
            return FlagsAnswer({}), "connection_error"
        settings = self._settings
        geoip = settings.disable_geoip if request.disable_geoip is None else request.disable_geoip
        body = encode_request(
            token=settings.project_token,
            distinct_id=request.distinct_id,
            groups=request.groups,
            person_properties=request.person_properties,
            group_properties=request.group_properties,
            geoip_disable=geoip,
            device_id=request.device_id,
            flag_keys=request.keys,
            sent_at=datetime.now(UTC).isoformat(),
        )
        try:
            answer: FlagsAnswer = yield lambda: self.requests().evaluate(body)
        except FlagsUnavailable as error:
            self._throttled.warning(error.code, "no answer about flags from %s: %s", settings.host, error)
            return FlagsAnswer({}), error.code
        except Exception as error:
            self._throttled.warning("unknown_error", "asking %s about flags failed: %r", settings.host, error)
            return FlagsAnswer({}), "unknown_error"
        return answer, None


def _fallback(settings: ClientSettings) -> Any:
    if not settings.flag_fallback_cache_url:
        return None
    # Imported lazily: few programs use it.
    from hogline.flags.remote.fallback_cache import FallbackCache

    return FallbackCache(
        settings.flag_fallback_cache_url,
        namespace=hashlib.sha256(f"{settings.host}\n{settings.project_token}".encode()).hexdigest()[:16],
        timeout_s=settings.feature_flags_request_timeout_seconds,
    )
