"""The scripts of the npm package posthog-js, read from its `dist` folder."""

import re
from pathlib import Path

import msgspec

from hogline_instance.ingest import HttpError, Request, Response

__all__ = ["PATTERN", "SCRIPT_TYPE", "Scripts"]

PATTERN = re.compile(r"/static/(?:(\d[\w.-]{0,30})/)?([a-z][a-z0-9.-]{0,60}\.js)")
SCRIPT_TYPE = b"application/javascript; charset=utf-8"


class Scripts:
    """The scripts in *folder*; with None the instance has no scripts."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._version = _package_version(folder)

    async def answer(self, _request: Request, match: re.Match[str]) -> Response:
        """Serve `/static/{version}/{name}.js` and `/static/{name}.js`."""
        return self.script(match[1], match[2])

    def script(self, version: str | None, name: str) -> Response:
        """Return the script *name*. Raises HttpError: it is missing, or has another version."""
        if self._folder is None:
            raise HttpError(
                404, "this instance has no posthog-js: start it with --posthog-js DIR (the npm package's dist folder)"
            )
        if version is not None and self._version is not None and version != self._version:
            # A script of another version would break the SDK; after a 404 it requests the name
            # without a version.
            raise HttpError(404, f"this instance has posthog-js {self._version}, not {version}")
        path = self._folder / name
        if not path.is_file():
            raise HttpError(404, f"posthog-js {self._version or ''} has no {name}")
        return Response(
            path.read_bytes(), content_type=SCRIPT_TYPE, headers=((b"cache-control", b"public, max-age=300"),)
        )


def _package_version(folder: Path | None) -> str | None:
    if folder is None:
        return None
    try:
        manifest = msgspec.json.decode((folder.parent / "package.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    version = manifest.get("version") if isinstance(manifest, dict) else None
    return version if isinstance(version, str) else None
