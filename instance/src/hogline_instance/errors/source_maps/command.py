"""The command `hogline sourcemaps upload DIR --release R`."""

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import urllib3

from hogline_instance.errors.source_maps.bundles import Bundle, BundleError, find_bundles, inject
from hogline_instance.errors.source_maps.container import MAX_CONTAINER_BYTES, pack
from hogline_instance.errors.source_maps.repository import git_facts

__all__ = ["sourcemaps"]

_TIMEOUT_S = 120.0
_RETRIES = urllib3.Retry(3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None)


class _RefusedError(Exception):
    """The instance refused a call, or did not answer."""


def sourcemaps(argv: list[str]) -> int:
    """Write chunk ids into the scripts of a build, and upload them with their source maps."""
    parser = argparse.ArgumentParser(prog="hogline sourcemaps", description="Upload the source maps of a build.")
    commands = parser.add_subparsers(dest="command", required=True)
    upload = commands.add_parser("upload", help="give each script a chunk id, and upload it with its map")
    upload.add_argument("directory", type=Path, metavar="DIR", help="folder of the build, with scripts and maps")
    upload.add_argument(
        "--release", metavar="R", help="version of the app, as events name it in $release (default: the git commit)"
    )
    upload.add_argument("--name", default="", metavar="NAME", help="name of the app that the release is of")
    upload.add_argument("--host", default=os.environ.get("HOGLINE_HOST", "http://127.0.0.1:8010"), metavar="URL")
    upload.add_argument("--key", default=os.environ.get("HOGLINE_PERSONAL_KEY", ""), metavar="phx_...")
    upload.add_argument(
        "--delete-maps", action="store_true", help="delete the maps afterwards, so that no site serves them"
    )
    options = parser.parse_args(argv)
    if not options.directory.is_dir():
        return _failed(f"{options.directory} is no folder")
    if not options.key:
        return _failed("give a personal key with --key or HOGLINE_PERSONAL_KEY; `hogline keys` prints one")
    try:
        bundles = [inject(bundle) for bundle in find_bundles(options.directory)]
        if not bundles:
            return _failed(f"{options.directory} has no script with a source map; build with source maps first")
        client = _Client(options.host, options.key)
        git = git_facts(options.directory)
        version = options.release or git.get("commit_id")  # an SDK that finds no other release names the commit, too
        release = client.release(options.name, version, git) if version else None
        sent = client.upload(bundles, release)
    except (BundleError, _RefusedError, OSError) as error:
        return _failed(str(error))
    if options.delete_maps:
        for bundle in bundles:
            bundle.source_map.unlink()
    sys.stdout.write(f"uploaded {sent} of {len(bundles)} scripts; the others were there already\n")
    return 0


class _Client:
    """Speaks the upload's protocol, which posthog-cli speaks too."""

    def __init__(self, host: str, key: str) -> None:
        self._base = f"{host.rstrip('/')}/api/environments/@current/error_tracking"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT_S, retries=_RETRIES)

    def release(self, name: str, version: str, git: Mapping[str, str]) -> str:
        """Return the id of the release, made when it is new, with its place in *git*."""
        digest = hashlib.sha512((name + version).encode()).hexdigest()
        body = {"hash_id": digest, "version": version, "project": name, "metadata": {"git": git} if git else {}}
        return str(self._call("releases", body)["id"])

    def upload(self, bundles: Sequence[Bundle], release: str | None) -> int:
        """Upload what the instance does not have; return how many."""
        sent = 0
        for bundle in bundles:
            blob = pack(bundle.script.read_bytes(), bundle.source_map.read_bytes())
            if len(blob) > MAX_CONTAINER_BYTES:
                raise BundleError(f"{bundle.script} and its map have more than {MAX_CONTAINER_BYTES} bytes compressed")
            digest = hashlib.sha512(bundle.script.read_bytes() + bundle.source_map.read_bytes()).hexdigest()
            wanted = {"chunk_id": bundle.chunk_id, "release_id": release, "content_hash": digest}
            started = self._call("symbol_sets/bulk_start_upload", {"symbol_sets": [wanted]})["id_map"]
            for target in started.values():
                self._send(target["presigned_url"], blob)
                self._call("symbol_sets/bulk_finish_upload", {"content_hashes": {target["symbol_set_id"]: digest}})
                sent += 1
        return sent

    def _send(self, target: Mapping[str, Any], blob: bytes) -> None:
        fields = {**target["fields"], "file": ("symbol_set", blob, "application/octet-stream")}
        try:
            answer = self._pool.request("POST", target["url"], fields=fields)
        except urllib3.exceptions.HTTPError as error:
            raise _RefusedError(f"the upload to {target['url']} failed: {error}") from error
        if not 200 <= answer.status < 300:
            raise _RefusedError(f"the upload was answered with {answer.status}: {answer.data[:300]!r}")

    def _call(self, path: str, body: Mapping[str, Any]) -> Any:
        url = f"{self._base}/{path}"
        try:
            answer = self._pool.request("POST", url, json=dict(body), headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            raise _RefusedError(f"{url} cannot be reached: {error}") from error
        if not 200 <= answer.status < 300:
            raise _RefusedError(f"{url} answered {answer.status}: {answer.data[:300].decode('utf-8', 'replace')}")
        return answer.json()


def _failed(reason: str) -> int:
    sys.stderr.write(f"hogline sourcemaps: {reason}\n")
    return 1
