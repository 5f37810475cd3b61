"""A simulated browser: it sends the events and tracing headers that posthog-js would send.

Source: docs/internals/instance-protocol.md#browser-events,
docs/internals/capture-protocol.md#tracing-headers and
docs/internals/capture-protocol.md#headers-of-posthog-js.
"""

import gzip
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import urllib3

from hogline.event import new_stamp

__all__ = ["Browser", "Window"]

_FLAG = "new-checkout"
_POOL = urllib3.PoolManager(maxsize=8, retries=False, timeout=10)


class Browser:
    """One person on one machine, with a device id, a session and cookies."""

    def __init__(
        self,
        *,
        instance_url: str,
        token: str,
        shop_url: str,
        release: str,
        name: str,
        ip: str,
        agent: str,
        facts: Mapping[str, object],
    ) -> None:
        self.instance_url, self.token, self.shop_url = instance_url, token, shop_url
        self.name, self.ip, self.agent = name, ip, agent
        self.facts: dict[str, object] = {"$release": release, **facts}
        self.session_id = new_stamp()[0]
        self.distinct_id = self.device_id = new_stamp()[0]
        self.identified = False
        self._started_ms = time.time() * 1000
        self._cart_cookie = ""

    def window(self) -> "Window":
        """Open a tab."""
        return Window(self)

    def send(self, *events: dict[str, object]) -> None:
        """Post *events* to `/e/` as posthog-js does: gzipped, without a Content-Encoding header."""
        sent_at = datetime.now(UTC).isoformat()
        body = gzip.compress(json.dumps({"api_key": self.token, "batch": events, "sent_at": sent_at}).encode())
        headers = {
            "Content-Type": "text/plain",
            "Origin": self.shop_url,
            "User-Agent": self.agent,
            "X-Forwarded-For": self.ip,
        }
        _POOL.request("POST", f"{self.instance_url}/e/", body=body, headers=headers)

    def read_flag(self, key: str) -> None:
        """Ask the instance for the person's variant of a flag; later events carry it."""
        body = json.dumps({"token": self.token, "distinct_id": self.distinct_id}).encode()
        headers = {"Content-Type": "text/plain", "Origin": self.shop_url, "User-Agent": self.agent}
        answer = _POOL.request("POST", f"{self.instance_url}/flags/?v=2", body=body, headers=headers)
        flag = json.loads(answer.data).get("flags", {}).get(key)
        if flag is not None:
            self.facts[f"$feature/{key}"] = flag["enabled"] and (flag.get("variant") or True)

    def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Send a request to the shop with this machine's cookies and address."""
        state = {
            "distinct_id": self.distinct_id,
            "$sesid": [time.time() * 1000, self.session_id, self._started_ms],
            "$user_state": "identified" if self.identified else "anonymous",
        }
        cookies = f"ph_{self.token}_posthog={quote(json.dumps(state))}{self._cart_cookie}"
        # No connection is reused: uvicorn closes one after an app's failure, and the next request
        # on it would be lost.
        sent = {
            "User-Agent": self.agent,
            "X-Forwarded-For": self.ip,
            "Cookie": cookies,
            "Connection": "close",
            **headers,
        }
        response = _POOL.request(method, self.shop_url + path, headers=sent, body=body)
        if given := response.headers.get("set-cookie"):
            self._cart_cookie = f"; {given.partition(';')[0]}"
        return response


class Window:
    """One tab: it loads pages, clicks buttons and sends requests from scripts."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.window_id = new_stamp()[0]
        self.path = "/"

    def open(self, path: str) -> None:
        """Navigate to a page, with cookies but no tracing headers; read the flag, send `$pageview`."""
        self.browser.request("GET", path, {"Accept": "text/html"})
        self.browser.read_flag(_FLAG)
        self.path = path
        self.capture("$pageview", {"title": "Moka & Co"})

    def click(self, text: str) -> None:
        """Press a button, and send the event that autocapture would send."""
        chain = f'button:text="{text}"nth-child="1"nth-of-type="1"'
        self.capture("$autocapture", {"$event_type": "click", "$el_text": text, "$elements_chain": chain})

    def fetch(self, method: str, path: str, body: dict[str, object] | None = None) -> int:
        """Call the shop from a script, with posthog-js's tracing headers; return the status."""
        browser = self.browser
        headers = {
            "X-POSTHOG-SESSION-ID": browser.session_id,
            "X-POSTHOG-WINDOW-ID": self.window_id,
            "X-POSTHOG-DISTINCT-ID": browser.distinct_id,
            "Content-Type": "application/json",
            "Referer": browser.shop_url + self.path,
        }
        return browser.request(method, path, headers, json.dumps(body).encode() if body is not None else None).status

    def identify(self, distinct_id: str, properties: dict[str, str]) -> None:
        """Identify the person, so that the device's anonymous events become theirs."""
        browser = self.browser
        previous, browser.distinct_id, browser.identified = browser.distinct_id, distinct_id, True
        self.capture("$identify", {"$anon_distinct_id": previous, "$set": properties})
        browser.read_flag(_FLAG)

    def group(self, kind: str, key: str) -> None:
        """Say which group the person belongs to; later events carry it."""
        self.browser.facts["$groups"] = {kind: key}
        self.capture("$groupidentify", {"$group_type": kind, "$group_key": key, "$group_set": {}})

    def fail(self, kind: str, value: str, frames: Sequence[Mapping[str, object]]) -> None:
        """Send the error that the page's script raised and nothing caught, the crash site last."""
        mechanism = {"type": "onerror", "handled": False, "synthetic": False}
        stack = {"type": "raw", "frames": [{"platform": "web:javascript", "in_app": True, **frame} for frame in frames]}
        listed = [{"type": kind, "value": value, "mechanism": mechanism, "stacktrace": stack}]
        self.capture("$exception", {"$exception_list": listed, "$exception_level": "error"})

    def capture(self, event: str, properties: dict[str, object]) -> None:
        """Send one event from this tab."""
        browser = self.browser
        identity, timestamp = new_stamp()
        facts: dict[str, object] = {
            "token": browser.token, "distinct_id": browser.distinct_id, "$device_id": browser.device_id, "$session_id": browser.session_id,
            "$window_id": self.window_id, "$lib": "web", "$lib_version": "1.449.2", "$current_url": browser.shop_url + self.path,
            "$host": browser.shop_url.partition("://")[2], "$pathname": self.path, "$raw_user_agent": browser.agent,
            "$is_identified": browser.identified, "$process_person_profile": browser.identified, **browser.facts,
        }  # fmt: skip
        browser.send({"uuid": identity, "event": event, "timestamp": timestamp, "properties": facts | properties})
