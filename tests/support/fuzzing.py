"""A fuzzer of the instance: it sends mutated requests of real SDKs, and checks responses and pages.

    ./dev fuzz --inputs 1000000 --seed 7

No input may get a status of 500 or more, close the connection without a response, or take longer
than a few seconds. Afterwards every list, page and stream must be able to show the stored events.
The command starts an instance of its own, which must still run at the end, without a traceback in
its log.
"""

import argparse
import base64
import copy
import gzip
import http.client
import json
import random
import re
import socket
import sys
import tempfile
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import quote, urlsplit

import brotli
import zstandard

from tests.support.fuzzing_api import ID, PARAMETERS, READ_PATHS, WRITES
from tests.support.instances import start_instance

LONGEST_ANSWER_S = 8.0
_RAW = "\x01raw:"  # a string with this prefix is written into the JSON without quotes


def _raw(token: str) -> str:
    return f"{_RAW}{token}\x01"


HOSTILE_NUMBERS = [
    _raw("9" * 25), _raw("-" + "9" * 25), _raw("9" * 5000), _raw("1" + "0" * 400), _raw("1e400"), _raw("-1e400"), _raw("NaN"),
    _raw("Infinity"), _raw("-Infinity"), _raw("1e-400"), _raw("0." + "1" * 500), _raw("9223372036854775808"), _raw("18446744073709551616"),
    0, -1, 1, 100, 404, 500, 1e308, 0.1, 2**53 + 1, -(2**63), 1618988591, 1618988591000, True,
]  # fmt: skip
HOSTILE_TEXTS = [
    "", " ", "\0", "a\nb", "\r\n", "\t", "\x1b[31m", "\u2028", "\u202e", "\ufeff", _raw('"\\ud83d"'), _raw('"x\\udc00y"'), "\U0001f600",
    "a" * 300, "\u00e9" * 5000, "x" * 70_000, "../../etc/passwd", "a/b", "x/remote_config", "%00", "%2e%2e", "%zz", "?", "#", "&", "=",
    "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "{{7*7}}", "${7*7}", "'; DROP TABLE events; --", "\\", "\\'", "null",
    "undefined", "NaN", "0", "true", "[object Object]", "phx_key", "1" * 5000, "\u00b2", "\u0661",
]  # fmt: skip
HOSTILE_URLS = [
    "http://[#x", "http://[::1", "http://ex\u2105mple.com/#a", "http://a:b@c/", "//", "javascript:alert(1)", "http://x:99999/", "http://x:\u00b2/",
    "http://\0/", "https://" + "a" * 3000, "file:///etc/passwd", "http://[v1.x]/", "about:blank", "http://%zz/%", "ht\ntp://x/", "http://x?" + "a=b&" * 300,
]  # fmt: skip
HOSTILE_TIMES = [
    "0001-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "1970-01-01T00:00:00Z", "1711012301234", "16", "2021-02-30",
    "2021-04-21T07:03:11z", "Wed, 21 Apr 2021 07:03:11 +0000", "2021/04/21", "-1", "1e10", "99999999999999999999", "2021-04-21T24:00:00",
    "2021-04-21T07:03:60Z", "now", "2021-04-21T07:03:11+99:99", "10000-01-01", "\u0661\u0662",
]  # fmt: skip
HOSTILE_IDS = [
    "00000000-0000-0000-0000-000000000000", "nope", "{12345678-1234-5678-1234-567812345678}", "urn:uuid:12345678-1234-5678-1234-567812345678",
    "12345678123456781234567812345678", "0ea7d81e-342-7da3-8000-000000000000", "0x1368--72e1", "ffffffff-ffff-ffff-ffff-ffffffffffff", "\u0661" * 32,
]  # fmt: skip
_NAMES = [
    "$session_id", "$window_id", "$current_url", "$referrer", "$pathname", "$host", "$ip", "$lib", "$lib_version", "$os", "$browser", "$device_type",
    "$user_agent", "$raw_user_agent", "$request_id", "$request_method", "$request_path", "$request_route", "$response_status_code", "$is_server",
    "$process_person_profile", "$set", "$set_once", "$unset", "$groups", "$group_type", "$group_key", "$group_set", "$anon_distinct_id", "alias",
    "$user_id", "$device_id", "$exception_list", "$exception_level", "$exception_fingerprint", "$exception_types", "$elements_chain", "$elements",
    "$feature/x", "$active_feature_flags", "$feature_flag", "$feature_flag_response", "$geoip_disable", "$ignore_sent_at", "distinct_id", "token",
    "$sent_at", "$event_type", "$snapshot_data", "$snapshot_source", "$session_entry_url", "$prev_pageview_pathname", "$is_identified", "title",
]  # fmt: skip
_FRAME = {
    "platform": "python", "filename": "shop/pay.py", "abs_path": "/srv/shop/pay.py", "function": "charge", "module": "shop.pay", "lineno": 12,
    "colno": 3, "in_app": True, "pre_context": ["def charge(card):"], "context_line": "    raise Declined", "post_context": [""], "lang": "python",
    "code_variables": {"card": "'visa'"}, "chunk_id": "c", "resolved": False,
}  # fmt: skip
_EXCEPTION = {
    "type": "Declined", "value": "no funds", "module": "shop", "mechanism": {"handled": False, "type": "generic", "exception_id": 0, "parent_id": 0},
    "stacktrace": {"type": "raw", "frames": [_FRAME, _FRAME]}, "thread_id": 1,
}  # fmt: skip
_PATHS = ["/e/", "/batch/", "/i/v0/e/", "/capture/", "/track/", "/engage/", "/i/v0/ai/batch/", "/s/"]
_ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: brotli.compress(body, quality=1),
    "zstd": zstandard.compress,
}


@dataclass(frozen=True)
class Input:
    """One request as bytes of HTTP/1.1, without its framing."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass
class Report:
    """The results of the inputs."""

    statuses: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def fault(self, sent: Input, what: str) -> None:
        """Record a fault with enough of its input to send it again."""
        head = f"{sent.method} {sent.target[:300]} {dict(sent.headers)!r:.400} {sent.body[:600]!r}"
        self.faults.append(f"{what}: {head}")


class Fuzzer:
    """Generates inputs, the same ones for the same *seed*."""

    def __init__(self, token: str, key: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.token, self.key = token, key
        self.sessions = [f"fuzz-{seed}-{number}" for number in range(20)]
        self.ids = [ID]
        """Ids of people and issues that the instance has."""

    def one(self) -> Input:
        """Return the next input."""
        kind = self.random.choices(
            (self._legacy, self._v1, self._flags, self._read, self._manage, self._bytes),
            weights=(48, 12, 12, 12, 12, 4),
        )[0]
        return kind()

    # -- requests of SDKs ----------------------------------------

    def _event(self) -> dict:
        pick = self.random
        properties = {
            "distinct_id": "ada", "token": self.token, "$session_id": pick.choice(self.sessions), "$window_id": "w", "$lib": pick.choice(["web", "posthog-python", "posthog-node"]),
            "$current_url": "https://shop.example/cart?x=1#top", "$pathname": "/cart", "$host": "shop.example", "$ip": "203.0.113.9", "$os": "Linux",
            "$request_id": str(uuid.UUID(int=pick.getrandbits(128), version=4)), "$request_method": "POST", "$request_path": "/cart", "$response_status_code": 200,
            "$is_server": pick.random() < 0.4, "$set": {"email": "ada@example.com"}, "$set_once": {"first": 1}, "$groups": {"company": "acme"},
            "$user_agent": "Mozilla/5.0 (X11; Linux x86_64)", "$anon_distinct_id": "anon-1",
        }  # fmt: skip
        name = pick.choice(
            [
                "$pageview",
                "$pageleave",
                "$autocapture",
                "$identify",
                "$create_alias",
                "$groupidentify",
                "$exception",
                "$feature_flag_called",
                "$set",
                "paid",
            ]
        )
        if name == "$exception":
            properties["$exception_list"] = [_EXCEPTION, _EXCEPTION]
            properties["$exception_level"] = "error"
        moment = datetime.now(UTC) - timedelta(seconds=pick.randrange(3600))
        return {
            "event": name, "uuid": str(uuid.UUID(int=pick.getrandbits(128), version=4)), "distinct_id": f"u{pick.randrange(50)}", "timestamp": moment.isoformat(),
            "offset": 3, "properties": properties, "$set": {"plan": "pro"}, "$set_once": {"seen": "2021"},
        }  # fmt: skip

    def _legacy(self) -> Input:
        pick = self.random
        events = [self._event() for _ in range(pick.choice((1, 1, 2, 5)))]
        shape: object = {
            "api_key": self.token,
            "batch": events,
            "sent_at": datetime.now(UTC).isoformat(),
            "historical_migration": False,
        }
        if pick.random() < 0.3:
            shape = [{**event, "api_key": self.token} for event in events]
        elif pick.random() < 0.3:
            shape = {**events[0], "api_key": self.token}
        text = self._text(self._mutated(shape))
        headers, body = self._wrapped(text)
        query = pick.choice(["", "?_=1618988591000", "?compression=gzip-js", "?compression=base64", "?compression=lz64", "?ver=1.2", "?beacon=1",
                             f"?_={'9' * 50}", "?sent_at=x", "?ip=1&" + "a=1&" * 150, "?compression=%00"])  # fmt: skip
        return Input("POST", pick.choice(_PATHS) + query, headers, body)

    def _v1(self) -> Input:
        pick = self.random
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        events = []
        for _ in range(pick.choice((1, 2, 4))):
            event = self._event()
            events.append(
                {name: event[name] for name in ("event", "uuid", "distinct_id", "timestamp", "properties")}
                | {"options": {"process_person_profile": True}}
            )
        text = self._text(self._mutated({"created_at": now, "batch": events}))
        headers = {
            "Authorization": f"Bearer {self.token}", "PostHog-Sdk-Info": "posthog-node/5.0", "PostHog-Attempt": "1", "User-Agent": "fuzz",
            "PostHog-Request-Id": str(uuid.UUID(int=pick.getrandbits(128), version=4)), "PostHog-Request-Timestamp": now,
        }  # fmt: skip
        if pick.random() < 0.3:
            name = pick.choice(list(headers))
            headers[name] = pick.choice(
                ["", "9" * 5000, "\xb2", "0", "-1", "1.5", "x", "Basic x", "Bearer ", "nope", *HOSTILE_TIMES[:6]]
            )
        extra, body = self._wrapped(text)
        return Input("POST", "/i/v1/analytics/events", (*headers.items(), *extra), body)

    def _flags(self) -> Input:
        pick = self.random
        shape = {
            "token": self.token, "api_key": self.token, "distinct_id": "ada", "$anon_distinct_id": "anon", "$device_id": "d", "groups": {"company": "acme"},
            "person_properties": {"email": "a@b.c", "age": 3}, "group_properties": {"company": {"size": 3}}, "flag_keys": ["x"], "geoip_disable": True,
            "timezone": "UTC", "evaluation_contexts": ["main"], "disable_flags": False,
        }  # fmt: skip
        headers, body = self._wrapped(self._text(self._mutated(shape)))
        target = pick.choice(["/flags/?v=2", "/flags/", "/flags/?v=4", "/flags?v=99999999999999999999", "/decide/?v=3", "/decide/", "/decide/?v=x",
                              "/flags/?v=2&config=true", f"/flags/definitions?token={self.token}", f"/array/{self.token}/config", f"/array/{self.token}/config.js",
                              f"/api/surveys/?token={self.token}", f"/api/early_access_features/?token={self.token}", "/array/%00/config", "/static/array.js",
                              "/static/../x", "/api/feature_flag/local_evaluation?token=x", f"/api/web_experiments/?token={self.token}"])  # fmt: skip
        return Input(pick.choice(("POST", "POST", "GET", "HEAD", "OPTIONS", "PUT")), target, headers, body)

    def _read(self) -> Input:
        """A request for a page or an API endpoint with hostile parameters."""
        pick = self.random
        value = quote(
            str(pick.choice([*HOSTILE_TEXTS, *HOSTILE_TIMES, *HOSTILE_IDS, *HOSTILE_URLS, "9" * 30]))
            .replace(_RAW, "")
            .replace("\x01", "")[:2000],
            safe="",
        )
        session = quote(pick.choice(self.sessions), safe="")
        target = pick.choice([
            "/", f"/events?before={value}", f"/events?after={value}", f"/events?event={value}", f"/events?distinct_id={value}", f"/event/{value}", f"/session/{value}",
            f"/session/{session}?after={value}", f"/sessions?before={value}", f"/sessions?search={value}", f"/login?next={value}", "/login", f"/ui/static/{value}",
            f"/api/projects/@current/events/?limit={value}", f"/api/projects/@current/events/?before={value}", f"/api/projects/@current/events/?cursor={value}",
            f"/api/projects/@current/events/?properties={value}", f"/api/projects/@current/events/{value}", f"/api/projects/{value}/events/",
            f"/api/projects/@current/sessions/?before={value}", f"/api/projects/@current/sessions/{value}", f"/api/projects/@current/sessions/?limit={value}",
            f"/{value}", f"/api/{value}", "/_ready", "/_health",
        ])  # fmt: skip
        headers: list[tuple[str, str]] = [("Authorization", f"Bearer {self.key}")] if pick.random() < 0.8 else []
        if pick.random() < 0.2:
            headers.append(
                (
                    pick.choice(
                        ["Origin", "Sec-Fetch-Site", "Cookie", "Accept", "X-Forwarded-For", "If-None-Match", "Range"]
                    ),
                    pick.choice(["null", "cross-site", "x=\xff", "a" * 3000, ",,,"]),
                )
            )
        return Input(pick.choice(("GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "DELETE")), target, tuple(headers))

    def _manage(self) -> Input:
        """A request of the management API, or for a page of what it manages."""
        pick = self.random
        headers = (("Authorization", f"Bearer {self.key}"), ("Content-Type", "application/json"))
        found = pick.choice(self.ids)
        if pick.random() < 0.4:
            values = [*HOSTILE_TEXTS, *HOSTILE_TIMES, *HOSTILE_IDS, "9" * 30, "-" + "9" * 30, found, found]
            texts = [str(pick.choice(values)).replace(_RAW, "").replace("\x01", "")[:500] for _ in range(3)]
            path = pick.choice(READ_PATHS).format(quote(texts[0], safe="") or "x")
            query = "&".join(f"{pick.choice(PARAMETERS)}={quote(text, safe='')}" for text in texts[1:])
            return Input(pick.choice(("GET", "GET", "GET", "HEAD")), f"{path}?{query}", headers)
        method, path, make = pick.choice(WRITES)
        text = self._text(self._mutated(make(pick)))
        return Input(method, path.replace(ID, found), headers, text.replace(ID.encode(), found.encode()))

    def _bytes(self) -> Input:
        pick = self.random
        body = pick.choice([
            pick.randbytes(pick.randrange(200)), b"[" * 100_000, b'{"a":' * 50_000, b"\x1f\x8b\x08" + pick.randbytes(50), b"\x28\xb5\x2f\xfd" + pick.randbytes(50), b"data=",
            b"data=%", b"data=e30=&compression=\xff", b"\xef\xbb\xbf{}", b'"' * 5000, b'{"batch":[' + b"{}," * 5000 + b"{}]}", b"null", b"0", b'""', b"[]", b"{}", b"[[[]]]",
        ])  # fmt: skip
        return Input(
            "POST",
            pick.choice([*_PATHS, "/flags/?v=2", "/decide/", "/i/v1/analytics/events", "/login"]),
            self._odd_headers(),
            body,
        )

    # -- mutations ----------------------------------------

    def _mutated(self, value: object) -> object:
        value = json.loads(json.dumps(value))
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 3, 6))):
            self._mutate(value)
        return value

    def _mutate(self, value: object) -> None:
        """Change one node of the tree, chosen on a random walk from its root."""
        pick = self.random
        while isinstance(value, dict | list) and value:
            place = pick.choice(list(value)) if isinstance(value, dict) else pick.randrange(len(value))
            inner = value[place]
            if isinstance(inner, dict | list) and inner and pick.random() < 0.8:
                value = inner
                continue
            action = pick.random()
            if action < 0.1 and isinstance(value, dict):
                del value[place]
            elif action < 0.25 and isinstance(value, dict):
                value[pick.choice(_NAMES)] = copy.deepcopy(self._hostile(""))
            elif action < 0.3 and isinstance(value, dict):
                value[str(pick.choice(HOSTILE_TEXTS))[:100]] = value.pop(place)
            else:
                value[place] = copy.deepcopy(self._hostile(str(place)))
            return

    def _hostile(self, name: str) -> object:
        pick = self.random
        if pick.random() < 0.5:
            if "url" in name or "referrer" in name:
                return pick.choice(HOSTILE_URLS)
            if "time" in name or name.endswith("_at"):
                return pick.choice(HOSTILE_TIMES)
            if "uuid" in name or name.endswith("_id"):
                return pick.choice(HOSTILE_IDS)
            if "status" in name or "lineno" in name or name == "offset":
                return pick.choice(HOSTILE_NUMBERS)
        return pick.choice(
            (
                lambda: pick.choice(HOSTILE_TEXTS),
                lambda: pick.choice(HOSTILE_NUMBERS),
                lambda: pick.choice([None, True, False, [], {}, [[]], [{}], {"": ""}, {"a": {"b": {"c": 1}}}]),
                lambda: pick.choice(HOSTILE_URLS + HOSTILE_TIMES + HOSTILE_IDS),
                lambda: [pick.choice(HOSTILE_TEXTS)] * pick.choice((1, 3, 50)),
                lambda: {str(number): number for number in range(pick.choice((3, 300)))},
                lambda: _raw("[" * 150 + "]" * 150),
                lambda: _raw('{"a":' * 300 + "1" + "}" * 300),
                lambda: _raw('{"a":1,"a":2,"$set":{},"$set":3}'),
                lambda: [_EXCEPTION] * 40,
            )
        )()

    def _text(self, value: object) -> bytes:
        text = json.dumps(value, ensure_ascii=self.random.random() < 0.5)
        text = re.sub(r'"\\u0001raw:((?:[^"\\]|\\.)*?)\\u0001"', lambda found: json.loads(f'"{found[1]}"'), text)
        body = text.encode("utf-8", "surrogatepass")
        if self.random.random() < 0.05:
            place = self.random.randrange(len(body))
            body = (
                body[:place]
                + self.random.choice((b"", b"\xff", b"\xed\xa0\x80", b"\0", b","))
                + body[place + self.random.randrange(3) :]
            )
        return body

    def _wrapped(self, text: bytes) -> tuple[tuple[tuple[str, str], ...], bytes]:
        pick = self.random
        headers = [
            (
                "Content-Type",
                pick.choice(
                    ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"]
                ),
            )
        ]
        chosen = pick.random()
        if chosen < 0.25:
            name = pick.choice(list(_ENCODERS))
            text = _ENCODERS[name](text)
            if pick.random() < 0.8:
                headers.append(("Content-Encoding", name))
        elif chosen < 0.35:
            text = base64.b64encode(text)
        elif chosen < 0.45:
            text = b"data=" + quote(base64.b64encode(text)).encode()
        elif chosen < 0.5:
            headers.append(
                ("Content-Encoding", pick.choice([*_ENCODERS, "made-up", "gzip, gzip", "identity", ", ,", "br," * 50]))
            )
        if pick.random() < 0.03:
            text = text[: pick.randrange(len(text) + 1)]
        return (*headers, *self._odd_headers()), text

    def _odd_headers(self) -> tuple[tuple[str, str], ...]:
        pick = self.random
        if pick.random() < 0.8:
            return ()
        name = pick.choice(
            [
                "X-Forwarded-For",
                "X-Real-IP",
                "User-Agent",
                "Origin",
                "Referer",
                "Cookie",
                "Access-Control-Request-Headers",
                "Authorization",
            ]
        )
        return (
            (
                name,
                pick.choice(
                    [
                        "1.2.3.4:5555",
                        "...",
                        "::",
                        "[::1]:80",
                        "\xff\xfe",
                        "a" * 5000,
                        "null",
                        "http://[",
                        "unknown",
                        "1.2.3.4, 5.6.7.8",
                        "999.999.999.999",
                    ]
                ),
            ),
        )


class Connection:
    """A keep-alive connection that sends inputs unchanged and reads whole responses."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = str(parts.hostname), int(parts.port or 80)
        self.socket: socket.socket | None = None

    def ask(self, sent: Input) -> tuple[int, bytes, float]:
        """Return status, body and seconds. Raises OSError or HTTPException: no response."""
        host = () if any(name == "Host" for name, _ in sent.headers) else (("Host", f"{self.host}:{self.port}"),)
        lines = [
            f"{sent.method} {sent.target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in (*host, *sent.headers)),
        ]
        if sent.body or sent.method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(sent.body)}")
        head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        began_s = time.monotonic()
        for attempt in (1, 2):
            fresh = self.socket is None
            if self.socket is None:
                self.socket = socket.create_connection((self.host, self.port), timeout=60)
            try:
                self.socket.sendall(head + sent.body)
                response = http.client.HTTPResponse(self.socket, method=sent.method)
                response.begin()
                body = response.read()
                if response.will_close:
                    self.close()
                return response.status, body, time.monotonic() - began_s
            except (OSError, http.client.HTTPException):
                self.close()
                if fresh or attempt == 2:
                    raise
        raise AssertionError

    def close(self) -> None:
        """Close the socket."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def run(
    url: str,
    token: str,
    key: str,
    *,
    inputs: int,
    seed: int,
    longest_s: float | None = None,
    look_every: int = 2000,
    progress: Callable[[Report], object] = lambda report: None,
) -> Report:
    """Send *inputs* inputs, at most for *longest_s*.

    After each *look_every*, read all stored events and call *progress*.
    """
    fuzzer, connection, report = Fuzzer(token, key, seed), Connection(url), Report()
    fuzzer.ids += _known_ids(connection, key)
    end_s = None if longest_s is None else time.monotonic() + longest_s
    for number in range(1, inputs + 1):
        sent = fuzzer.one()
        try:
            status, _, took_s = connection.ask(sent)
        except (OSError, http.client.HTTPException) as error:
            report.fault(sent, f"no answer ({error!r})")
            continue
        report.statuses[status] += 1
        report.slowest_s = max(report.slowest_s, took_s)
        if status >= 500:
            report.fault(sent, f"answered {status}")
        elif took_s > LONGEST_ANSWER_S:
            report.fault(sent, f"took {took_s:.1f} s")
        done = end_s is not None and time.monotonic() > end_s
        if number % look_every == 0 or number == inputs or done:
            look(connection, key, fuzzer.sessions, report)
            fuzzer.ids = [ID, *_known_ids(connection, key)]
            progress(report)
        if done or len(report.faults) > 50:
            break
    connection.close()
    return report


def look(connection: Connection, key: str, sessions: list[str], report: Report) -> None:
    """Read the stored events through lists, pages, sessions and the live stream."""
    allowed = (("Authorization", f"Bearer {key}"),)
    pages = {"/", "/events", "/sessions", *(f"/session/{quote(one, safe='')}" for one in sessions)}
    for path in ("/events", "/sessions"):
        html = _look_at(connection, Input("GET", path, allowed), report)
        pages |= {
            unescape(link)
            for link in re.findall(r'href="(/(?:event|session|events|sessions)[^"]*)"', html.decode("utf-8", "replace"))
        }
    for path in sorted(pages)[:150]:
        html = _look_at(connection, Input("GET", path, allowed), report)
        if b"<script>alert" in html or b"onerror=alert(1)>" in html:
            report.fault(Input("GET", path), "wrote a stranger's markup")
    for path in ("/api/projects/@current/events/?limit=500", "/api/projects/@current/sessions/?limit=100",
                 *(f"/api/projects/@current/sessions/{quote(one, safe='')}" for one in sessions)):  # fmt: skip
        body = _look_at(connection, Input("GET", path, allowed), report)
        if body:
            try:
                json.loads(body)
            except ValueError as error:
                report.fault(Input("GET", path), f"wrote JSON that no reader reads ({error})")


def _known_ids(connection: Connection, key: str) -> list[str]:
    """Return ids of people and issues of the instance."""
    found = []
    for path in ("/api/projects/@current/persons/", "/api/projects/@current/error_tracking/issues"):
        body = connection.ask(Input("GET", path, (("Authorization", f"Bearer {key}"),)))[1]
        found += [each["id"] for each in json.loads(body)["results"]]
    return found


def _look_at(connection: Connection, sent: Input, report: Report) -> bytes:
    try:
        status, body, took_s = connection.ask(sent)
    except (OSError, http.client.HTTPException) as error:
        report.fault(sent, f"no answer ({error!r})")
        return b""
    if status >= 500:
        report.fault(sent, f"answered {status}")
    elif took_s > LONGEST_ANSWER_S:
        report.fault(sent, f"took {took_s:.1f} s")
    return body if status == 200 else b""


def main() -> int:
    """Fuzz a new instance; return 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="./dev fuzz", description="Fuzz a new instance.")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hogline-fuzz-") as folder:
        served = start_instance(Path(folder) / "data")
        try:
            report = run(
                served.url, served.token, served.key, inputs=chosen.inputs, seed=chosen.seed, progress=print_progress
            )
            if (status := served.process.poll()) is not None:
                report.faults.append(f"the instance ended with status {status}")
        finally:
            served.stop()
        report.faults += [f"in the log: {text}" for text in [served.errors()] if text]
    print_progress(report)
    for fault in report.faults:
        print(fault)
    return 1 if report.faults else 0


def print_progress(report: Report) -> None:
    """Print the counts so far."""
    statuses = dict(sorted(report.statuses.items()))
    print(
        f"{report.statuses.total()} inputs, {len(report.faults)} faults, "
        f"slowest answer {report.slowest_s:.2f} s, statuses {statuses}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
