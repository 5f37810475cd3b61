"""Style, scripts and pictures: the `static/` folder of each package.

The files are read once, at the start, so that no path can reach another file.
"""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import PurePath

from fastapi import APIRouter, HTTPException, Request, Response

__all__ = ["build_router"]

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def build_router(packages: Sequence[str]) -> APIRouter:
    """Return the route of the files of all *packages*.

    A browser that has the current file gets 304.
    """
    contents = _read(packages)
    tags = {name: f'"{hashlib.sha256(body).hexdigest()[:20]}"' for name, body in contents.items()}
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/static/{name}")
    def get_file(name: str, request: Request) -> Response:
        if name not in contents:
            raise HTTPException(404)
        headers = {
            "ETag": tags[name],
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; style-src 'self'",
        }
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(contents[name], media_type=_TYPES[PurePath(name).suffix], headers=headers)

    @router.get("/favicon.ico")
    def get_icon(request: Request) -> Response:
        return get_file("logo.svg", request)

    return router


def _read(packages: Sequence[str]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for package in packages:
        folder = files(package).joinpath("static")
        for entry in folder.iterdir() if folder.is_dir() else ():
            if PurePath(entry.name).suffix in _TYPES:
                if entry.name in contents:
                    raise ValueError(f"two packages have a static file {entry.name!r}; {package} is the second")
                contents[entry.name] = entry.read_bytes()
    return contents
