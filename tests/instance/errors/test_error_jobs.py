"""What happens beside the pipeline: spikes, moved fingerprints in the store, fetched source maps."""

import base64
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import select

from hogline_instance.db import Database
from hogline_instance.errors.config import SPIKES, config_of, save_config
from hogline_instance.errors.source_maps.fetching import Fetcher, FetchError
from hogline_instance.errors.spikes import BUCKETS, find_spikes, is_spike, note_spikes
from hogline_instance.errors.tables import FingerprintRow, HistoryRow, IssueRow
from hogline_instance.outgoing import PrivateAddressError
from hogline_instance.projects.tables import ProjectRow
from tests.instance.errors.api import call
from tests.instance.errors.bodies import entry, exception, python_frame, stored, unique
from tests.instance.reader import Reader

BUNDLE = Path(__file__).with_name("bundle")
SQUASH = """
import sys
from pathlib import Path
from hogline_instance.errors.jobs import squash_moves
from hogline_instance.settings import Settings
from hogline_instance.startup import open_services
services = open_services(Settings(data_dir=Path(sys.argv[1]), port=0))
squash_moves(services)
rows = services.store.query("SELECT DISTINCT toString(issue_id) AS issue FROM analytics.events WHERE event = '$exception'")
print(*sorted(row["issue"] for row in rows))
squash_moves(services)
services.close()
"""


def test_the_column_of_stored_events_follows_a_merge(serve, tmp_path):
    """A job rewrites the issue of moved fingerprints; queries do not need it."""
    served = serve(tmp_path / "data")
    reader, kind = Reader(served.url, served.token, served.key), unique()
    found = stored(reader, *[exception(entry(kind, "v", [python_frame(name)])) for name in ("a", "b")])
    first, second = (each["$exception_issue_id"] for each in found)
    call(reader, "POST", f"issues/{first}/merge", {"ids": [second]})
    assert served.stop() == 0
    command = [sys.executable, "-W", "ignore", "-c", SQUASH, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.split() == [first]


@pytest.mark.parametrize(
    ("earlier", "current", "usual", "expected"),
    [
        ([10] * 11, 500, 0, True), ([10] * 11, 499, 0, False), ([50] * 11, 500, 0, False), ([0] * 11, 500, 49, True),
        ([0] * 11, 500, 50, False), ([0] * 10 + [40], 500, 1_000, True),
    ],
)  # fmt: skip
def test_a_spike_passes_the_threshold_and_ten_times_the_baseline(earlier, current, usual, expected):
    """Empty buckets do not lower the baseline; without any, the project's mean counts."""
    config = {"threshold": 500, "multiplier": 10}
    assert is_spike([*earlier, current], usual, config)[0] is expected


def test_a_spike_is_noted_once_until_its_snooze_ends(database_url):
    """The history has its count and baseline, a suppressed issue none; each option has its effect."""
    database = Database(database_url)
    database.migrate()
    now = datetime.now(UTC)
    with database.transaction() as session:
        session.add(ProjectRow(id=1, name="p", token="phc_p"))
        session.flush()
        for name, status in (("a", "active"), ("b", "suppressed")):
            session.add(IssueRow(id=name, team_id=1, name=name, description="", status=status))
            session.flush()
            session.add(FingerprintRow(team_id=1, fingerprint=f"f-{name}", issue_id=name))
    counts = {f"f-{name}": [1] * (BUCKETS - 1) + [900] for name in "ab"}
    for moment, expected in ((now, 1), (now + timedelta(minutes=9), 0), (now + timedelta(minutes=11), 1)):
        with database.transaction() as session:
            assert len(note_spikes(session, 1, find_spikes(session, 1, counts), moment)) == expected
    with database.session() as session:
        assert config_of(session, SPIKES, 1)["threshold"] == 500
        details = [row.detail for row in session.scalars(select(HistoryRow).where(HistoryRow.issue_id == "a"))]
    assert details == [{"count": 900, "baseline": 1.0}] * 2
    later = now + timedelta(hours=1)
    for config, moment, expected in (
        ({"threshold": 901}, later, 0), ({"threshold": 900, "multiplier": 900}, later, 0),
        ({"multiplier": 899, "snooze_duration_minutes": 1}, later, 1), ({}, later + timedelta(minutes=2), 1),
    ):  # fmt: skip
        with database.transaction() as session:
            save_config(session, SPIKES, 1, config)
            assert len(note_spikes(session, 1, find_spikes(session, 1, counts), moment)) == expected, config
    database.close()


class Files(BaseHTTPRequestHandler):
    """Serves the bundle, an inline map, a redirect and a script without a map."""

    def do_GET(self):
        inline = b"x\n//# sourceMappingURL=data:application/json;base64," + base64.b64encode(b"{}")
        known = {"/inline.js": inline, "/plain.js": b"x"}
        file = BUNDLE / self.path.lstrip("/")
        body = known.get(self.path) or (file.read_bytes() if file.is_file() else None)
        self.send_response(302 if self.path == "/moved.js" else 200 if body else 404)
        if self.path == "/moved.js":
            self.send_header("Location", "/app.js")
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_arguments):
        """Say nothing."""


@pytest.fixture
def files():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://shop.test:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_map_is_fetched_from_a_listed_host_alone(files):
    """The address that was checked is connected to; redirects and other hosts are refused."""
    fetcher = Fetcher(["shop.test"], lambda _host, _port: ["127.0.0.1"])
    script, source_map = fetcher.script_with_map(f"{files}/app.js")
    assert (script, source_map) == ((BUNDLE / "app.js").read_bytes(), (BUNDLE / "app.js.map").read_bytes())
    assert fetcher.script_with_map(f"{files}/inline.js")[1] == b"{}"
    for path, reason in (
        ("/plain.js", "names no source map"),
        ("/moved.js", "answered 302"),
        ("/no.js", "answered 404"),
    ):
        with pytest.raises(FetchError, match=reason):
            fetcher.script_with_map(files + path)
    for url in ("http://other.test/app.js", "file:///etc/passwd", "http://user@shop.test/app.js", "http://[/"):
        with pytest.raises(FetchError, match="not listed"):
            fetcher.script_with_map(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "0.0.0.0"]
)
def test_private_addresses_are_never_fetched_from(host):
    """A listed host with such an address is refused all the same."""
    with pytest.raises(PrivateAddressError, match="not public"):
        Fetcher([host]).script_with_map(f"http://{f'[{host}]' if ':' in host else host}/app.js")


def test_source_map_hosts_are_names(reader):
    """The list is checked, and kept in lower case."""
    assert call(reader, "GET", "source_map_config/") == {"hosts": []}
    assert call(reader, "PATCH", "source_map_config/", {"hosts": "x"}, status=400)["attr"] == "hosts"
    assert call(reader, "PATCH", "source_map_config/", {"hosts": ["CDN.Shop.test"]}) == {"hosts": ["cdn.shop.test"]}
    call(reader, "PATCH", "source_map_config/", {"hosts": []})
