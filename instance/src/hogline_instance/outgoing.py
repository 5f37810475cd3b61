"""HTTP requests of the instance to hosts that other people name: source maps, and hooks of alerts.

A host must resolve to public addresses alone, and the connection goes to an address that was
checked: a name that changes its address in between (DNS rebinding) cannot lead into the instance's
own network. Redirects are not followed. Time and size of an answer are bounded.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import SplitResult, quote, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError
from urllib3.response import HTTPResponse

from hogline_instance.private_hosts import PrivateHosts, is_public

__all__ = ["OutgoingError", "PrivateAddressError", "RemoteAnswer", "public_addresses", "send_request", "split_url"]

_MAX_ADDRESSES = 3
_NO_HOSTS = PrivateHosts()
_SAFE = "/%:@!$&'()*+,;=~-._?"


class OutgoingError(OSError):
    """A request cannot be sent or has no usable answer; the text says why."""


class PrivateAddressError(OutgoingError):
    """The host has an address that is not public, and no option allows it."""


@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """The answer of another server; *is_cut* when its body was longer than the limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool


def public_addresses(host: str, port: int, allowed: PrivateHosts = _NO_HOSTS) -> list[str]:
    """Return the addresses of *host*, in the system's order of preference.

    Raises PrivateAddressError: one of them is not public and not *allowed*. Raises OutgoingError:
    there is none.
    """
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OutgoingError(f"host {host[:100]} has no address: {error}") from error
    found = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    for address in found:
        if not is_public(address) and not allowed.allows(host, address):
            raise PrivateAddressError(f"host {host[:100]} has the address {address}, which is not public")
    return found


def send_request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    addresses: Callable[[str, int], Sequence[str]] = public_addresses,
    timeout_s: float,
    max_bytes: int,
) -> RemoteAnswer:
    """Send a request to one of *addresses*, and read at most *max_bytes* of its answer.

    Raises OutgoingError: the host cannot be reached, or its answer was not complete within *timeout_s*.
    The text names the host alone, because the path of a hook is often a secret.
    """
    parts, port = split_url(url)
    host = parts.hostname or ""
    sent = {
        "Host": parts.netloc, "User-Agent": "hogline-instance", "Accept-Encoding": "identity", "Connection": "close", **headers,
    }  # fmt: skip
    for address in addresses(host, port)[:_MAX_ADDRESSES]:
        connection = _connection(parts, address, port, timeout_s)
        with contextlib.closing(connection), _deadline(connection, timeout_s) as expired:
            try:
                connection.request(
                    method, _target(parts), body=body, headers=sent, preload_content=False, decode_content=False
                )
                answer = _read(connection.getresponse(), max_bytes)
                if expired.is_set():  # what the shutdown cut off looks complete to the parser
                    raise TimeoutError
                return answer
            except (NewConnectionError, ConnectTimeoutError) as error:  # another address may answer
                failure = OutgoingError(f"{parts.hostname} cannot be reached: {error}"[:500])
            except (HTTPError, HTTPException, OSError, ValueError) as error:
                is_late = expired.is_set() or isinstance(error, (TimeoutError, ReadTimeoutError))
                reason = f"gave no answer within {timeout_s:g} s" if is_late else f"failed: {error}"
                raise OutgoingError(f"{parts.hostname} {reason}"[:500]) from error
    raise failure


def split_url(url: str) -> tuple[SplitResult, int]:
    """Return the parts of *url* and its port. Raises OutgoingError: nothing can be sent there."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        parts.netloc.encode("ascii")
    except ValueError as error:
        raise OutgoingError(f"the URL cannot be read: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise OutgoingError("the URL needs http or https, a host, and no user name")
    return parts, port


def _connection(parts: SplitResult, address: str, port: int, timeout_s: float) -> HTTPConnection:
    if parts.scheme == "http":
        return HTTPConnection(address, port, timeout=timeout_s)
    return HTTPSConnection(
        address, port, timeout=timeout_s, cert_reqs="CERT_REQUIRED", assert_hostname=parts.hostname, server_hostname=parts.hostname
    )  # fmt: skip


@contextlib.contextmanager
def _deadline(connection: HTTPConnection, timeout_s: float) -> Iterator[threading.Event]:
    """Shut the connection down after *timeout_s*.

    A socket's own timeout begins anew with each byte.
    """
    expired = threading.Event()

    def shut_down() -> None:
        expired.set()
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _read(answer: HTTPResponse, max_bytes: int) -> RemoteAnswer:
    chunks, missing = [], max_bytes + 1
    # urllib3 raises at the read after the last byte when the body is shorter than announced.
    while missing and (chunk := answer.read(missing, decode_content=False)):
        chunks.append(chunk)
        missing -= len(chunk)
    body = b"".join(chunks)
    return RemoteAnswer(answer.status, answer.headers, body[:max_bytes], len(body) > max_bytes)


def _target(parts: SplitResult) -> str:
    return quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_SAFE)
