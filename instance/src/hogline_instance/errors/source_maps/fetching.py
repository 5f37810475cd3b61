"""Fetch maps by `sourceMappingURL`, only from hosts that the project lists.

The scripts' URLs come from clients, so a host must be listed, and have public addresses alone
(`outgoing.py`).
"""

import base64
import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from sqlalchemy import select

from hogline_instance.errors.config import SOURCE_MAPS
from hogline_instance.errors.queries import event_sample
from hogline_instance.errors.source_maps.container import pack
from hogline_instance.errors.source_maps.resolver import minified_frames
from hogline_instance.errors.source_maps.storage import store_set
from hogline_instance.errors.tables import ConfigRow, SymbolSetRow
from hogline_instance.outgoing import OutgoingError, public_addresses, send_request
from hogline_instance.services import Services

__all__ = ["FetchError", "Fetcher", "fetch_maps"]

_log = logging.getLogger("hogline.instance")
_MAX_BYTES = 50 * 1024 * 1024
_TIMEOUT_S = 30.0
_MAX_SCRIPTS = 20
_MAX_EVENTS = 200
_MAPPING_URL = re.compile(rb"[#@]\s*sourceMappingURL=(\S+)\s*(?:\*/)?\s*\Z")
_NEEDLES = ("the script looks minified",)


class FetchError(OutgoingError):
    """A script or its map cannot be fetched; the text says why."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches from *hosts* alone; *addresses* resolves a host to the addresses that are allowed."""

    hosts: Sequence[str]
    addresses: Callable[[str, int], Sequence[str]] = public_addresses

    def script_with_map(self, url: str) -> tuple[bytes, bytes]:
        """Return a script and its map. Raises OutgoingError."""
        script, named = self._get(url)
        found = _MAPPING_URL.search(script[-100_000:])
        target = named or (found[1].decode("utf-8", "replace") if found else "")
        if not target:
            raise FetchError("the script names no source map")
        if target.startswith("data:"):
            return script, _data(target)
        return script, self._get(urljoin(url, target))[0]

    def allows(self, url: str) -> bool:
        """Return whether the host of *url* is listed."""
        try:
            parts = urlsplit(url)
            return parts.scheme in {"http", "https"} and (parts.hostname or "") in self.hosts and parts.username is None
        except ValueError:
            return False

    def _get(self, url: str) -> tuple[bytes, str]:
        """Return the body and the header that names a map."""
        if not self.allows(url):
            raise FetchError(f"the host of {url[:200]} is not listed in this project's source map hosts")
        answer = send_request(
            "GET", url, headers={}, addresses=self.addresses, timeout_s=_TIMEOUT_S, max_bytes=_MAX_BYTES
        )
        if answer.status != 200:
            raise FetchError(f"{url[:200]} answered {answer.status}")
        if answer.is_cut:
            raise FetchError(f"{url[:200]} has more than {_MAX_BYTES} bytes")
        return answer.body, answer.headers.get("SourceMap", "")


def fetch_maps(services: Services) -> None:
    """Fetch the maps of recent minified scripts, for the projects that list hosts."""
    with services.database.session() as session:
        rows = session.scalars(select(ConfigRow).where(ConfigRow.name == SOURCE_MAPS)).all()
        listed = {row.team_id: row.values.get("hosts", []) for row in rows}
    for project_id, hosts in listed.items():
        if hosts:
            _fetch_for(services, project_id, Fetcher(hosts))


def _fetch_for(services: Services, project_id: int, fetcher: Fetcher) -> None:
    events = event_sample(services.store, project_id, _NEEDLES, limit=_MAX_EVENTS)
    urls = dict.fromkeys(
        str(frame.get("filename", "")).partition("#")[0]
        for event in events
        for frame in minified_frames(event)
        if frame.get("resolve_failure") and not frame.get("chunk_id")
    )
    wanted = [url for url in urls if len(url) <= 1_000 and fetcher.allows(url)]
    with services.database.session() as session:
        query = select(SymbolSetRow.ref).where(SymbolSetRow.team_id == project_id, SymbolSetRow.ref.in_(wanted))
        known = set(session.scalars(query))
    for url in _first(url for url in wanted if url not in known):
        try:
            blob = pack(*fetcher.script_with_map(url))
            content_hash, failure = hashlib.sha512(blob).hexdigest(), None
        except OutgoingError as error:
            blob, content_hash, failure = b"", "none", str(error)
            _log.info("errors: %s", error)
        with services.database.transaction() as session:
            file = io.BytesIO(blob) if blob else None
            store_set(session, project_id, url, file, content_hash=content_hash, failure=failure)


def _first(urls: Iterable[str]) -> list[str]:
    return [url for url, _ in zip(urls, range(_MAX_SCRIPTS), strict=False)]


def _data(target: str) -> bytes:
    head, _, body = target.partition(",")
    try:
        return base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)
    except ValueError as error:
        raise FetchError("the script's inline source map cannot be decoded") from error
