"""CORS preflights: which tracing headers a browser asked for that the app's answer does not allow.

Source: Fetch standard, "CORS protocol": the browser drops a request with a header that the answer
does not name.
"""

from collections.abc import Iterable

from hogline.facts import tracing

__all__ = ["ASKED", "advice", "refused"]

ASKED = "access-control-request-headers"
_NAMES = (tracing.SESSION_ID, tracing.WINDOW_ID, tracing.DISTINCT_ID)
_LIST = ", ".join(f'"{name}"' for name in _NAMES)
_LINES = {
    "aiohttp": f"aiohttp_cors.ResourceOptions(allow_headers=[..., {_LIST}])",
    "blacksheep": f"app.use_cors(allow_headers=[..., {_LIST}])",
    "django": f"CORS_ALLOW_HEADERS = [*default_headers, {_LIST}]",
    "fastapi": f"app.add_middleware(CORSMiddleware, ..., allow_headers=[..., {_LIST}])",
    "flask": f"CORS(app, allow_headers=[..., {_LIST}])",
    "litestar": f"CORSConfig(..., allow_headers=[..., {_LIST}])",
    "quart": f"cors(app, allow_headers=[..., {_LIST}])",
    "sanic": f"app.config.CORS_ALLOW_HEADERS = [..., {_LIST}]",
    "starlette": f"Middleware(CORSMiddleware, ..., allow_headers=[..., {_LIST}])",
}


def refused(asked: str, answer: Iterable[tuple[str, str]]) -> list[str]:
    """Return the *asked* tracing headers that the *answer*'s headers do not allow.

    *asked* comes from a browser's preflight. An answer without any CORS header gives nothing: that
    app serves no other origin.
    """
    wanted, allowed = _names(asked), set[str]()
    answers = credentials = False
    for name, value in answer:
        match name.lower():
            case "access-control-allow-headers":
                answers, allowed = True, allowed | _names(value)
            case "access-control-allow-credentials":
                answers, credentials = True, value.strip().lower() == "true"
            case other:
                answers = answers or other.startswith("access-control-allow-")
    # With credentials, a star is an ordinary header name.
    if not answers or ("*" in allowed and not credentials):
        return []
    return [name for name in _NAMES if name in wanted and name not in allowed]


def advice(framework: str) -> str:
    """Return the line that allows the headers, as *framework*'s users write it."""
    return _LINES.get(framework, f"Access-Control-Allow-Headers: {', '.join(_NAMES)}")


def _names(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",")}
