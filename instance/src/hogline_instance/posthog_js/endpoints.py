"""Paths that posthog-js calls: `/array/{token}/...`, `/static/...`, and lists that are empty here.

Source: docs/internals/instance-protocol.md#endpoints and
docs/internals/instance-protocol.md#config-documents.
"""

import re
from urllib.parse import urlsplit

import msgspec

from hogline_instance.errors import BrowserRules
from hogline_instance.ingest import Endpoint, Request, Response, json_response
from hogline_instance.posthog_js.scripts import PATTERN, SCRIPT_TYPE, Scripts
from hogline_instance.projects import config_of
from hogline_instance.services import Services
from hogline_instance.settings import Settings

__all__ = ["browser_config", "build_endpoints"]

_ARRAY = re.compile(r"/array/([A-Za-z0-9_-]{1,64})/(config|config\.js|array\.js)")
# After a 404 the SDK would retry every second.
_EMPTY_LISTS: dict[str, dict[str, list[object]]] = {
    "/api/surveys": {"surveys": []},
    "/api/web_experiments": {"experiments": []},
    "/api/product_tours": {"product_tours": []},
}
_LIST_PREFIXES = ("/api/surveys", "/api/web_exp", "/api/product_tours")


def browser_config(settings: Settings) -> dict[str, object]:
    """Return the part of the config that no other feature decides."""
    return {
        "supportedCompression": ["gzip", "gzip-js"],
        "autocapture_opt_out": False,
        "analytics": {"endpoint": "/i/v0/e/"},
        "elementsChainAsString": True,
        "defaultIdentifiedOnly": True,
        "heatmaps": False,
        "capturePerformance": False,
        # Exceptions are captured by an extension, which the SDK loads from /static/.
        "autocaptureExceptions": settings.posthog_js_dir is not None,
        "captureDeadClicks": False,
    }


def build_endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Return the endpoints of posthog-js."""
    scripts = Scripts(services.settings.posthog_js_dir)
    array = _Array(services, scripts)
    lists = "|".join(re.escape(path) for path in _EMPTY_LISTS)
    return (
        Endpoint(_ARRAY, array.answer, prefixes=("/array/",)),
        Endpoint(PATTERN, scripts.answer, prefixes=("/static/",)),
        Endpoint(re.compile(lists), _empty_list, prefixes=_LIST_PREFIXES),
    )


async def _empty_list(_request: Request, match: re.Match[str]) -> Response:
    return json_response(_EMPTY_LISTS[match[0]])


class _Array:
    def __init__(self, services: Services, scripts: Scripts) -> None:
        self._config = services.browser_config
        self._projects = services.projects
        self._rules = BrowserRules(services.database)
        self._scripts = scripts

    async def answer(self, request: Request, match: re.Match[str]) -> Response:
        """Return the config as JSON, as a script, or as a script followed by the SDK."""
        token, name = match[1], match[2]
        project = self._projects.by_token(token)
        decided = config_of(project, self._config, _origin(request)) if project is not None else self._config
        errors = await self._rules.config(project.id if project is not None else None, decided)
        config = {"token": token, **decided, "errorTracking": errors}
        if name == "config":
            return json_response(config)
        # Escaped, so that no value can end a script element early if a page inlines this text.
        literal = msgspec.json.encode(config).replace(b"<", b"\\u003c")
        script = (
            b"(function(){var c=window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
            b'c["%b"]={config:%b,siteApps:[]};})();\n' % (token.encode(), literal)
        )
        if name == "array.js":
            script += self._scripts.script(None, "array.js").body
        return Response(script, content_type=SCRIPT_TYPE)


def _origin(request: Request) -> str:
    """Return the origin of the page; a request of a script element names it in its referrer alone."""
    if origin := request.header(b"origin"):
        return origin
    try:
        parts = urlsplit(request.header(b"referer"))
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
