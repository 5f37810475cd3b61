"""Style, scripts and the logo: a fixed set, read once, so that no path can reach another file."""

import hashlib
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Request, Response

__all__ = ["build_router"]

_TYPES = {
    "style.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "event.js": "text/javascript; charset=utf-8",
    "session.js": "text/javascript; charset=utf-8",
    "logo.svg": "image/svg+xml",
}


def build_router() -> APIRouter:
    """Return the route of the files, answered with 304 while they are unchanged."""
    folder = files("hogline_instance.ui").joinpath("static")
    contents = {name: folder.joinpath(name).read_bytes() for name in _TYPES}
    tags = {name: f'"{hashlib.sha256(body).hexdigest()[:20]}"' for name, body in contents.items()}
    router = APIRouter()

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
        return Response(contents[name], media_type=_TYPES[name], headers=headers)

    @router.get("/favicon.ico")
    def get_icon(request: Request) -> Response:
        return get_file("logo.svg", request)

    return router
