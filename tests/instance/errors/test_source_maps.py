"""Source maps: the upload that posthog-cli speaks, and minified frames with their original place."""

import hashlib
import json
import struct
import subprocess
import uuid
from pathlib import Path

import pytest
import zstandard

from hogline_instance.errors.source_maps.container import ContainerError, pack, unpack
from hogline_instance.errors.source_maps.lookup import MapError, ScriptMap
from hogline_instance.errors.source_maps.worker_process import MapWorker
from tests.instance.errors.api import call
from tests.instance.errors.bodies import browser_frame, entry, exception, stored, unique
from tests.instance.reader import text_of

BUNDLE = Path(__file__).with_name("bundle")
SCRIPT, MAP = (BUNDLE / "app.js").read_bytes(), (BUNDLE / "app.js.map").read_bytes()
URL = "https://shop.test/static/app.js"
# What V8 says of `pay([{name: "lamp"}])` in the bundle, which esbuild made of bundle/src.
STACK = [("globalThis.pay", 494), ("i", 450), ("n.total", 367), ("<anonymous>", 374), ("u", 220)]
ORIGINAL = [
    ("src/main.js", 9, 9, "pay"), ("src/main.js", 5, 24, "renderCart"), ("src/prices.js", 15, 22, "total"),
    ("src/prices.js", 15, 36, "<anonymous>"), ("src/prices.js", 4, 10, "priceOf"),
]  # fmt: skip


def crash(chunk=None, url=URL, **more):
    """Return the error of the bundle as posthog-js sends it."""
    ids = {"chunk_id": chunk} if chunk else {}
    frames = [browser_frame(name, url, 1, column, **ids) for name, column in STACK]
    return exception(entry(unique(), "this item has no sku: lamp", frames, type="onerror"), lib="web", **more)


def upload(reader, chunk, blob, release=None):
    """Upload a symbol set as posthog-cli does, and return the id of the set."""
    digest = hashlib.sha512(blob).hexdigest()
    body = {"symbol_sets": [{"chunk_id": chunk, "release_id": release, "content_hash": digest}]}
    started = call(
        reader, "POST", "symbol_sets/bulk_start_upload", body, status=201, base=f"{ENVIRONMENT}/error_tracking"
    )
    target = started["id_map"][chunk]
    sent = reader.pool.request(
        "POST", target["presigned_url"]["url"],
        fields={**target["presigned_url"]["fields"], "file": ("file", blob, "application/octet-stream")},
    )  # fmt: skip
    assert 200 <= sent.status < 300, sent.data
    hashes = {"content_hashes": {target["symbol_set_id"]: digest}}
    done = call(reader, "POST", "symbol_sets/bulk_finish_upload", hashes, status=201)
    assert done == {"success": True}
    return target["symbol_set_id"]


ENVIRONMENT = "/api/environments/@current"


def places(properties):
    frames = properties["$exception_list"][0]["stacktrace"]["frames"]
    return [(frame["source"], frame["line"], frame["column"], frame["resolved_name"]) for frame in frames]


@pytest.mark.parametrize("version", [1, 2])
def test_minified_frames_get_their_original_place_column_exact(reader, version):
    """File, line, column, function and source lines come from the map that the chunk id names."""
    chunk = str(uuid.uuid4())
    hash_id = hashlib.sha512(chunk.encode()).hexdigest()
    call(reader, "GET", f"releases/hash/{hash_id}", status=404)
    git = {"git": {"commit_id": "0123abcd", "branch": "main", "remote_url": "git@github.com:shop/web.git"}}
    given = {"hash_id": hash_id, "version": f"3.{version}", "project": "web", "metadata": git}
    release = call(reader, "POST", "releases", given, status=201)
    assert call(reader, "GET", f"releases/hash/{hash_id}/")["id"] == release["id"]
    payload = b"".join(struct.pack("<Q", len(each)) + each for each in (SCRIPT, MAP))
    plain = b"posthog_error_tracking" + struct.pack("<II", 1, 2) + payload
    upload(reader, chunk, plain if version == 1 else pack(SCRIPT, MAP), release["id"])
    [found] = stored(reader, crash(chunk, release=f"3.{version}"))
    assert places(found) == ORIGINAL
    frame = found["$exception_list"][0]["stacktrace"]["frames"][-1]
    assert (frame["resolved"], frame["in_app"], frame["mangled_name"]) == (True, True, "u")
    assert frame["context_line"].strip() == 'throw new TypeError("this item has no sku: " + item.name);'
    assert found["$exception_functions"][-1] == "priceOf"
    assert found["$exception_releases"][hash_id]["version"] == f"3.{version}"
    shown = reader.get(f"/issue/{found['$exception_issue_id']}", key=None)
    assert "priceOf src/prices.js:4:10" in text_of(shown)
    assert b"https://github.com/shop/web/commit/0123abcd" in shown.data


def test_an_event_that_names_its_release_by_id_alone_has_its_version(reader):
    """By `$release_id`, as posthog-python sends it, or by the release of its script's map."""
    versions, chunk, kind = [f"5-{uuid.uuid4().hex[:8]}", f"6-{uuid.uuid4().hex[:8]}"], str(uuid.uuid4()), unique()
    made = [
        call(reader, "POST", "releases", {"hash_id": uuid.uuid4().hex, "version": each, "project": "web"}, status=201)
        for each in versions
    ]
    upload(reader, chunk, pack(SCRIPT, MAP), made[1]["id"])
    named = exception(entry(kind, "v"), release_id=f" {made[0]['id'].upper()}")
    found = [*stored(reader, named), *stored(reader, crash(chunk))]
    assert [each["$release_version"] for each in found] == versions
    [by_id] = found[0]["$exception_releases"].values()
    assert (by_id["id"], by_id["version"]) == (made[0]["id"], versions[0])
    shown = text_of(reader.get(f"/issue/{found[0]['$exception_issue_id']}", key=None))
    assert f"First seen in release {versions[0]}" in shown
    assert kind in text_of(reader.get("/issues", key=None, release=versions[0], status="any"))
    # The release of another project, or none, is no version.
    unknown, broken = (
        exception(entry(kind, "v"), release_id=str(uuid.uuid4())),
        exception(entry(kind, "v"), release_id=[7]),
    )
    assert not any("$release_version" in each for each in stored(reader, unknown, broken))


def test_without_a_map_a_minified_frame_says_so_and_a_late_map_resolves_it(reader):
    """The stored event stays as it came; the page of the issue shows the original place."""
    chunk = str(uuid.uuid4())
    [found] = stored(reader, crash(chunk))
    frame = found["$exception_list"][0]["stacktrace"]["frames"][-1]
    assert (frame["resolved"], frame["resolved_name"]) == (False, None)
    assert "minified" in frame["resolve_failure"]
    path = f"/issue/{found['$exception_issue_id']}"
    assert "no source map was uploaded" in text_of(reader.get(path, key=None))
    upload(reader, chunk, pack(SCRIPT, MAP))
    assert "priceOf src/prices.js:4:10" in text_of(reader.get(path, key=None))
    [late] = stored(reader, crash(chunk))
    assert places(late) == ORIGINAL


def test_an_upload_is_refused_with_posthogs_codes(reader):
    """Other content, an unknown release, doubled ids, a missing file and a wrong token."""
    chunk, blob = str(uuid.uuid4()), pack(SCRIPT, MAP)
    set_id = upload(reader, chunk, blob)
    start = "symbol_sets/bulk_start_upload"
    same = {"chunk_id": chunk, "content_hash": hashlib.sha512(blob).hexdigest()}
    assert call(reader, "POST", start, {"symbol_sets": [same]}, status=201) == {"id_map": {}}

    def code(sets):
        return call(reader, "POST", start, {"symbol_sets": sets}, status=400)["code"]

    assert code([{**same, "content_hash": "other"}]) == "content_hash_mismatch"
    assert code([same, same]) == "invalid_chunk_ids"
    assert code([{"chunk_id": "new", "release_id": str(uuid.uuid4())}]) == "invalid_release_id"
    started = call(reader, "POST", start, {"chunk_ids": [f"old-{chunk}"]}, status=201)["id_map"][f"old-{chunk}"]
    hashes = {"content_hashes": {started["symbol_set_id"]: "x"}}
    assert call(reader, "POST", "symbol_sets/bulk_finish_upload", hashes, status=400)["code"] == "file_not_found"
    url = started["presigned_url"]["url"]
    assert reader.pool.request("POST", url, fields={"token": "wrong", "file": ("f", b"x")}).status == 403
    assert reader.pool.request("POST", url, body=b"no form").status == 400
    assert reader.pool.request("POST", url, fields={"token": "x"}).status == 400
    listed = call(reader, "GET", "symbol_sets/?status=valid&limit=1000")["results"]
    assert set_id in {each["id"] for each in listed}
    call(reader, "DELETE", f"symbol_sets/{set_id}/", status=204)
    call(reader, "DELETE", f"symbol_sets/{set_id}/", status=404)


def bomb():
    """Return a container of a few bytes that is far too large after decompression."""
    writer = zstandard.ZstdCompressor(level=1).compressobj()
    data = b"".join(writer.compress(bytes(1024 * 1024)) for _ in range(300)) + writer.flush()
    return b"posthog_error_tracking" + struct.pack("<II", 2, 2) + b"\x01" + data


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"nothing", "does not begin"), (b"posthog_error_tracking" + struct.pack("<II", 9, 2), "version 9"),
        (b"posthog_error_tracking" + struct.pack("<II", 2, 4) + b"\0", "type 4"),
        (b"posthog_error_tracking" + struct.pack("<II", 1, 2) + struct.pack("<Q", 2**60), "should have"),
        (b"posthog_error_tracking" + struct.pack("<II", 2, 2) + b"\x01broken", "decompressed"), (bomb(), "after decompression"),
    ],
    ids=["magic", "version", "type", "length", "zstd", "bomb"],
)  # fmt: skip
def test_a_broken_container_says_why(blob, reason):
    """No size that it claims is believed."""
    with pytest.raises(ContainerError, match=reason):
        unpack(blob)


@pytest.mark.parametrize(
    "broken", [b"", b"[]", b"{", b'{"version": 2}', b'{"mappings": "!!!!", "sources": []}', b"[" * 100_000]
)
def test_a_broken_map_is_one_failure(broken):
    """The error is the map's, and never another one."""
    with pytest.raises(MapError):
        ScriptMap(SCRIPT, broken)


def test_an_index_map_is_read_and_climbing_paths_are_only_names(tmp_path):
    """Sections have offsets of their own; a source is never opened as a file."""
    inner = json.loads(MAP) | {"sources": ["../../etc/passwd", "src/main.js"]}
    sections = {"version": 3, "sections": [{"offset": {"line": 0, "column": 0}, "map": inner}]}
    found = ScriptMap(SCRIPT, json.dumps(sections).encode()).find(1, 220)
    assert (found["source"], found["line"], found["name"]) == ("../../etc/passwd", 4, "priceOf")
    assert "throw new TypeError" in found["current"]


def test_the_worker_outlives_hostile_maps():
    """A bomb and garbage are failures, and the next question is answered."""
    worker = MapWorker(timeout_s=20)
    try:
        assert "after decompression" in worker.find("a", [(1, 1)], bomb)
        assert "cannot be read" in worker.find("b", [(1, 1)], lambda: pack(b"", b"{"))
        assert worker.find("c", [(1, 220)], lambda: pack(SCRIPT, MAP))[0]["name"] == "priceOf"
        assert worker.find("c", [(1, 450)], lambda: pytest.fail("the map is cached"))[0]["name"] == "renderCart"
        assert worker.find("d", [(1, 1)], lambda: b"") == "its source map is missing"
    finally:
        worker.close()


def test_a_map_that_takes_too_long_ends_the_worker_and_the_next_question_starts_one():
    """The limit of time holds for each question."""
    worker = MapWorker(timeout_s=1.5)
    slow = json.dumps({"version": 3, "sources": ["a"], "names": [], "mappings": "AAAA;" * 5_000_000}).encode()
    try:
        assert "took longer than 1.5 s" in worker.find("slow", [(1, 1)], lambda: pack(b"", slow))
        assert worker.find("c", [(1, 220)], lambda: pack(SCRIPT, MAP))[0]["name"] == "priceOf"
    finally:
        worker.close()


def test_the_upload_command_gives_scripts_ids_and_their_errors_original_places(reader, tmp_path, capsys):
    """The added line shifts script and map alike; a second upload sends nothing."""
    from hogline_instance.errors.source_maps.command import sourcemaps

    build = tmp_path / "build"
    build.mkdir()
    (build / "app.js").write_bytes(SCRIPT)
    (build / "app.js.map").write_bytes(MAP)
    (build / "evil.js").write_text("x\n//# sourceMappingURL=../outside.map\n")
    (tmp_path / "outside.map").write_bytes(MAP)
    command = ["upload", str(build), "--release", f"7-{uuid.uuid4()}", "--host", reader.url, "--key", reader.key]
    assert sourcemaps(command) == 0
    assert "uploaded 1 of 1" in capsys.readouterr().out
    written = (build / "app.js").read_text()
    chunk = written.rstrip().rpartition("chunkId=")[2]
    assert written.splitlines()[1] == SCRIPT.decode().splitlines()[0]
    sent = crash(chunk)
    for frame in sent["properties"]["$exception_list"][0]["stacktrace"]["frames"]:
        frame["lineno"] = 2
    [found] = stored(reader, sent)
    assert places(found) == ORIGINAL
    assert sourcemaps(command) == 0
    assert "uploaded 0 of 1" in capsys.readouterr().out
    assert sourcemaps(["upload", str(tmp_path / "none"), "--key", "phx_x"]) == 1
    assert sourcemaps([*command[:-1], "phx_unknown"]) == 1
    assert "answered 401" in capsys.readouterr().err


def test_an_upload_from_a_checkout_links_its_issues_to_the_commit(reader, tmp_path, capsys):
    """Without `--release` the release is the commit; the remote's password stays here."""
    from hogline_instance.errors.source_maps.command import sourcemaps

    (tmp_path / "app.js").write_text(f"{SCRIPT.decode()}//{uuid.uuid4()}\n")
    (tmp_path / "app.js.map").write_bytes(MAP)
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["remote", "add", "origin", "https://ada:s3cret@git.example.com/shop/web.git"],
        [
            "-c",
            "user.name=Ada",
            "-c",
            "user.email=ada@example.com",
            "commit",
            "-qm",
            str(uuid.uuid4()),
            "--allow-empty",
        ],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    commit = subprocess.run(
        ["git", "-C", str(tmp_path), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert sourcemaps(["upload", str(tmp_path), "--host", reader.url, "--key", reader.key]) == 0
    assert "uploaded 1 of 1" in capsys.readouterr().out
    chunk = (tmp_path / "app.js").read_text().rstrip().rpartition("chunkId=")[2]
    sent = crash(chunk, release=commit)
    for frame in sent["properties"]["$exception_list"][0]["stacktrace"]["frames"]:
        frame["lineno"] = 2
    [found] = stored(reader, sent)
    [release] = found["$exception_releases"].values()
    assert release["version"] == commit
    assert release["metadata"]["git"] == {
        "commit_id": commit, "branch": "main", "remote_url": "https://git.example.com/shop/web.git", "repo_name": "web",
    }  # fmt: skip
    shown = reader.get(f"/issue/{found['$exception_issue_id']}", key=None)
    assert f"https://git.example.com/shop/web/commit/{commit}".encode() in shown.data
    for text in (f"Release {commit[:12]} commit", f"First seen in release {commit[:12]}", f"Releases {commit[:12]} 1"):
        assert text in text_of(shown)
    assert f"/issues?release={commit}&amp;status=any".encode() in shown.data
