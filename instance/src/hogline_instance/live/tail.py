"""`hogline tail`: the live stream of an instance in a terminal, one line per event."""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlencode

import msgspec
import urllib3

from hogline_instance.events.event import StoredEvent
from hogline_instance.events.row import time_text
from hogline_instance.events.summary import Summary, summarize
from hogline_instance.settings import Settings

__all__ = ["Address", "line_of", "main", "messages", "printable"]

# The instance writes both files. Their names are repeated here: importing the modules that declare
# them would load a database driver.
_KEY_FILE = "personal-key"
_URL_FILE = "url"
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 15.0
_SILENCE_S = 35.0  # the stream sends a comment every 10 s; three missed ones mean a dead connection
_REMEMBERED = 5_000
_CATCH_UP = 200
_MAX_LINE_BYTES = 64 * 1024 * 1024
_COLORS = {"browser": "35", "server": "36", "other": "37"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where an instance listens, and the personal key that reads it."""

    url: str
    key: str


class _RefusedError(Exception):
    """The instance refused the request, and a retry would not help."""


def main(argv: list[str]) -> int:
    """Print events until Ctrl-C.

    Returns 0 after Ctrl-C or a closed pipe, 1 when the instance refuses, 2 for bad options.
    """
    options = _parser().parse_args(argv)
    try:
        address = _address(options)
    except ValueError as error:
        print(f"hogline tail: {error}", file=sys.stderr)  # noqa: T201 - a command prints
        return 2
    show = _printer(sys.stdout, as_json=options.json)
    try:
        _follow(address, options, show)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # The reading program (head, less) has exited. Without this, Python reports the broken pipe
        # again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _RefusedError as error:
        _say(str(error))
        return 1
    return 0


def messages(chunks: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, data) for each server-sent event in *chunks*, however they are cut."""
    buffer = bytearray()
    name, data = "message", b""
    for chunk in chunks:
        buffer += chunk
        if b"\n" not in chunk:
            if len(buffer) > _MAX_LINE_BYTES:
                raise urllib3.exceptions.ProtocolError(f"a message over {_MAX_LINE_BYTES} bytes")
            continue
        *lines, rest = bytes(buffer).split(b"\n")
        buffer = bytearray(rest)
        for line in lines:
            if line.startswith(b"event:"):
                name = line[6:].strip().decode("utf-8", "replace")
            elif line.startswith(b"data:"):
                data = line[5:].strip()
            elif not line.strip() and data:
                yield name, data
                name, data = "message", b""


def printable(text: str) -> str:
    """Return *text* with control, invisible and reordering characters escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def line_of(event: Summary, *, color: bool) -> str:
    """Return a line of time, side, event, person, session, request, status and exception."""

    def paint(code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if color and text else text

    session = event.session_id[-8:]
    where = " ".join(part for part in (printable(event.method), printable(event.path)) if part)
    parts = [
        paint(
            "2", event.timestamp[11:23].ljust(12, "0") if "." in event.timestamp else event.timestamp[11:19] + ".000"
        ),
        paint(_COLORS[event.side], f"{event.side:7}"),
        paint("1;31" if event.error else "1", _fit(event.title, 28)),
        _fit(event.distinct_id, 22),
        paint("2", _fit(session, 8)),
        where,
    ]
    if event.status is not None:
        parts.append(paint("31" if event.status >= 500 else "33" if event.status >= 400 else "32", str(event.status)))
    if event.error:
        parts.append(paint("31", printable(event.error)))
    return "  ".join(parts).rstrip()


def _fit(text: str, width: int) -> str:
    shown = printable(text)
    return shown.ljust(width) if len(shown) <= width else shown[: width - 1] + "…"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hogline tail", description="Show an instance's events as they arrive (times in UTC)."
    )
    where = parser.add_argument_group("which instance")
    where.add_argument("--data", type=Path, metavar="DIR", help="its data folder, which holds its address and key")
    where.add_argument("--url", help="its address, such as http://127.0.0.1:8010")
    where.add_argument(
        "--key", help="a personal key (phx_...); better in HOGLINE_PERSONAL_KEY, which no process list shows"
    )
    which = parser.add_argument_group("which events")
    which.add_argument("--event", help="only events with exactly this name")
    which.add_argument("--distinct-id", help="only events of this distinct id")
    which.add_argument("--session", help="only events of this session")
    which.add_argument("--search", help="only events with this text in them")
    which.add_argument(
        "-n", "--last", type=int, default=10, metavar="N", help="stored events to show first, 0 to 200 (10)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line, for other programs")
    return parser


def _address(options: argparse.Namespace) -> Address:
    url = options.url or os.environ.get("HOGLINE_URL")
    key = options.key or os.environ.get("HOGLINE_PERSONAL_KEY")
    if not (url and key):
        found = _kept(options.data)
        url, key = url or found.url, key or found.key
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the address must start with http:// or https://, got {url!r}; did you mean 'http://{url}'?")
    return Address(url.rstrip("/"), key)


def _kept(data_dir: Path | None) -> Address:
    """Return the address and key found in the data folder and the environment.

    Raises ValueError: there is no key; its message says what to do.
    """
    settings = Settings.from_environment(data_dir=data_dir)
    path = settings.data_dir / _KEY_FILE
    try:
        key = path.read_text().strip()
    except OSError as error:
        raise ValueError(
            f"no personal key in {path} ({error.strerror}); name the instance's folder with --data,"
            " or its address and key with --url and HOGLINE_PERSONAL_KEY"
        ) from error
    try:
        # With port 0 only the running instance knows its port, and writes this file.
        url = (settings.data_dir / _URL_FILE).read_text().strip()
    except OSError:
        url = settings.public_url or f"http://{settings.host}:{settings.port}"
    return Address(url, key)


def _follow(address: Address, options: argparse.Namespace, show: Callable[[Mapping[str, Any]], None]) -> None:
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=_SILENCE_S))
    seen: dict[str, None] = {}  # an ordered set, which can drop its oldest member
    backlog = max(0, min(options.last, _CATCH_UP))
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            for name, body in _connected(pool, address, options, backlog):
                wait_s = _FIRST_WAIT_S
                # After a lost connection, request the latest events; `seen` drops repeats.
                backlog = _CATCH_UP
                if name == "lost":
                    _say(f"{body['lost']} events not shown: this terminal is too slow. All are stored.")
                for event in body if name == "events" else ():
                    if event["uuid"] not in seen:
                        seen[event["uuid"]] = None
                        if len(seen) > _REMEMBERED:
                            del seen[next(iter(seen))]
                        show(event)
            reason = "the instance closed the stream"
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            reason = _reason(error)
        pause_s = wait_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, no secret
        _say(f"{address.url}: {reason}; retrying in {pause_s:.1f} s")
        time.sleep(pause_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


def _connected(
    pool: urllib3.PoolManager, address: Address, options: argparse.Namespace, backlog: int
) -> Iterator[tuple[str, Any]]:
    asked = {
        "event": options.event,
        "distinct_id": options.distinct_id,
        "session_id": options.session,
        "search": options.search,
        "backlog": backlog,
    }
    query = urlencode({name: value for name, value in asked.items() if value not in {None, ""}})
    response = pool.request(
        "GET",
        f"{address.url}/api/projects/@current/live?{query}",
        headers={"Authorization": f"Bearer {address.key}", "Accept": "text/event-stream"},
        preload_content=False,
        redirect=False,
    )
    try:
        if response.status >= 500:
            raise urllib3.exceptions.HTTPError(f"it answered {response.status}")
        if response.status != 200:
            raise _RefusedError(f"{address.url} answered {response.status}: {_detail(response.read(4096))}")
        for name, data in messages(_arriving(response)):
            yield name, json.loads(data)
    finally:
        response.close()


def _arriving(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    while chunk := response.read1(65_536):
        yield chunk


def _printer(out: TextIO, *, as_json: bool) -> Callable[[Mapping[str, Any]], None]:
    color = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def show(event: Mapping[str, Any]) -> None:
        if as_json:
            # ASCII only: JSON leaves some control characters unescaped, which a terminal obeys.
            line = json.dumps(event, ensure_ascii=True).replace("\x7f", "\\u007f")
        else:
            line = line_of(_summary(event), color=color)
        out.write(line + "\n")
        out.flush()

    return show


def _summary(event: Mapping[str, Any]) -> Summary:
    return summarize(
        StoredEvent(
            team_id=0,
            uuid=event["uuid"],
            event=event["event"],
            distinct_id=event["distinct_id"],
            session_id=event["session_id"] or "",
            timestamp_text=time_text(datetime.fromisoformat(event["timestamp"]).astimezone(UTC)),
            raw_properties=msgspec.Raw(json.dumps(event["properties"]).encode()),
        )
    )


def _detail(body: bytes) -> str:
    try:
        return printable(str(json.loads(body)["detail"]))
    except (ValueError, KeyError, TypeError):
        return printable(body.decode("utf-8", "replace").strip()[:300]) or "no reason given"


def _reason(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "nothing listens there (is `hogline serve` running?)"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return "silent for too long"
    return printable(str(error)) or type(error).__name__


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command prints
