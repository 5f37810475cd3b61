"""Post a body to a hook, and read its answer. The URL comes from people who use the instance."""

from collections.abc import Mapping
from functools import partial

from urllib3 import Retry
from urllib3.exceptions import InvalidHeader

from hogline_instance.alerts.channels.outcome import Outcome
from hogline_instance.outgoing import OutgoingError, PrivateAddressError, RemoteAnswer, public_addresses, send_request
from hogline_instance.settings import Settings

__all__ = ["post"]

_MAX_ANSWER_BYTES = 2_000
_TEMPORARY = frozenset({408, 425, 429})


def post(url: str, body: bytes, headers: Mapping[str, str], settings: Settings) -> Outcome:
    """Return what became of the request; a 2xx alone is success."""
    try:
        answer = send_request(
            "POST", url, body=body, headers={"Content-Type": "application/json", **headers},
            addresses=partial(public_addresses, allowed=settings.private_hosts), timeout_s=settings.alert_timeout_s,
            max_bytes=_MAX_ANSWER_BYTES,
        )  # fmt: skip
    except PrivateAddressError as error:
        return Outcome(
            accepted=False, answer=f"{error}; the option alert_private_hosts (HOGLINE_ALERT_PRIVATE_HOSTS) allows hosts"
        )
    except OutgoingError as error:
        return Outcome(accepted=False, answer=str(error), may_retry=True)
    return _outcome(answer)


def _outcome(answer: RemoteAnswer) -> Outcome:
    if 200 <= answer.status < 300:
        return Outcome(accepted=True, answer=str(answer.status))
    if 300 <= answer.status < 400:
        return Outcome(accepted=False, answer=f"{answer.status}: redirects are not followed; enter the final URL")
    text = f"{answer.status}: {answer.body.decode('utf-8', 'replace')}"
    may_retry = answer.status >= 500 or answer.status in _TEMPORARY
    return Outcome(accepted=False, answer=text, may_retry=may_retry, retry_after_s=_retry_after(answer))


def _retry_after(answer: RemoteAnswer) -> float | None:
    given = answer.headers.get("Retry-After")
    try:
        return Retry(0).parse_retry_after(given) if given else None
    except InvalidHeader:
        return None
