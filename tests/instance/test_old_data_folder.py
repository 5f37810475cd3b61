"""A data folder of an earlier version opens and shows its events.

Commit 4235444, from before features were folders, made the fixture. It holds four stored events of
one session, and one more that was accepted just before kill -9 and is only in the journal.
"""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

from tests.instance.errors.api import call, until
from tests.instance.reader import Reader

ARCHIVE = Path(__file__).parent / "fixtures" / "data-folder-0.1.0-pre.tar.xz"
TOKEN = "phc_CjMk8Kr7qynJfZH_vWa0Rnnml6MpjyyoKpB5G8Rcfs4"
KEY = "phx_w_p6EUQCPAcJEYW7clJuOlv1E6v_nLEw4-acuhAwqlY"
SESSION = "0197c000-aaaa-7000-8000-000000000001"


def test_a_data_folder_of_an_earlier_version_opens_and_shows_its_events(serve, tmp_path):
    """Keys and session work, the event of the journal is stored once, and SQLite is backed up
    first.
    """
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "data"
    served = serve(folder)
    assert (served.token, served.key) == (TOKEN, KEY)
    reader = Reader(served.url, served.token, served.key)
    found = reader.wait_for(5)
    assert [one["event"] for one in found] == ["late", "$exception", "order placed", "$identify", "$pageview"]
    assert [one["uuid"][-1] for one in found] == ["5", "4", "3", "2", "1"]
    session = reader.session(SESSION)
    assert (session["person"], session["pageviews"], session["errors"]) == ("ada@example.com", 1, 1)
    assert reader.get("/", key=None).status == 200
    # The job makes an issue of the exception that was stored before there were issues.
    [issue] = until(lambda: call(reader, "GET", "issues/")["results"])
    [crash] = until(
        lambda: [one for one in reader.events(event="$exception") if one["properties"].get("$exception_issue_id")]
    )
    assert crash["properties"]["$exception_issue_id"] == issue["id"]
    assert (crash["uuid"][-1], crash["timestamp"]) == (found[1]["uuid"][-1], found[1]["timestamp"])
    assert issue["first_seen"][:19] == crash["timestamp"][:19]
    assert issue["name"].encode() in reader.get(f"/issue/{issue['id']}", key=None).data
    assert reader.session(SESSION)["errors"] == 1
    assert served.stop() == 0
    with closing(sqlite3.connect(folder / "projects.sqlite3.backup-0001")) as backup:
        assert backup.execute("SELECT token FROM projects").fetchall() == [(TOKEN,)]
        assert backup.execute("SELECT name FROM sqlite_master WHERE name = 'pipeline_batches'").fetchall() == []
    again = serve(folder)
    reader = Reader(again.url, again.token, again.key)
    assert len(reader.events()) == 5
    assert call(reader, "GET", "issues/")["count"] == 1
