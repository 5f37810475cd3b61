"""The names of other projects that our pages mention, each with the page that explains it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Project:
    """A project's documentation: its address, and role and page of each name."""

    url: str
    names: dict[str, tuple[str, str]]


def _abc(*names: str) -> dict[str, tuple[str, str]]:
    return {
        f"collections.abc.{name}": ("py:class", f"library/collections.abc.html#collections.abc.{name}")
        for name in names
    }


PROJECTS = {
    "python": Project(
        "https://docs.python.org/3",
        {
            **_abc("Awaitable", "Callable", "Iterable", "Iterator", "Mapping", "MutableMapping", "Sequence"),
            "concurrent.futures.ThreadPoolExecutor": (
                "py:class",
                "library/concurrent.futures.html#concurrent.futures.ThreadPoolExecutor",
            ),
            "contextlib.contextmanager": ("py:function", "library/contextlib.html#contextlib.contextmanager"),
            "contextvars.ContextVar": ("py:class", "library/contextvars.html#contextvars.ContextVar"),
            "datetime.datetime": ("py:class", "library/datetime.html#datetime.datetime"),
            "logging.Handler": ("py:class", "library/logging.html#logging.Handler"),
            "os.PathLike": ("py:class", "library/os.html#os.PathLike"),
            "threading.Thread": ("py:class", "library/threading.html#threading.Thread"),
            "types.TracebackType": ("py:class", "library/types.html#types.TracebackType"),
        },
    ),
    "arq": Project(
        "https://arq-docs.helpmanual.io", {"arq.connections.ArqRedis": ("py:class", "#arq.connections.ArqRedis")}
    ),
    "dramatiq": Project(
        "https://dramatiq.io", {"dramatiq.broker.Broker": ("py:class", "reference.html#dramatiq.Broker")}
    ),
    "flask": Project(
        "https://flask.palletsprojects.com/en/stable", {"flask.app.Flask": ("py:class", "api/#flask.Flask")}
    ),
    "huey": Project("https://huey.readthedocs.io/en/latest", {"huey.api.Huey": ("py:class", "api.html#Huey")}),
    "httpx": Project(
        "https://www.python-httpx.org",
        {
            "httpx.AsyncBaseTransport": ("py:class", "advanced/transports/#custom-transports"),
            "httpx.AsyncClient": ("py:class", "api/#asyncclient"),
            "httpx.BaseTransport": ("py:class", "advanced/transports/#custom-transports"),
            "httpx.Client": ("py:class", "api/#client"),
        },
    ),
    "litestar": Project(
        "https://docs.litestar.dev/latest",
        {"litestar.app.Litestar": ("py:class", "reference/app.html#litestar.app.Litestar")},
    ),
    "openfeature": Project(
        "https://openfeature.dev",
        {
            "openfeature.evaluation_context.EvaluationContext": (
                "py:class",
                "docs/reference/concepts/evaluation-context",
            )
        },
    ),
    "quart": Project(
        "https://quart.palletsprojects.com/en/latest",
        {"quart.app.Quart": ("py:class", "reference/source/quart.app.html#quart.app.Quart")},
    ),
    "requests": Project(
        "https://requests.readthedocs.io/en/latest",
        {
            "requests.adapters.BaseAdapter": ("py:class", "api/#requests.adapters.BaseAdapter"),
            "requests.sessions.Session": ("py:class", "api/#requests.Session"),
        },
    ),
    "robyn": Project(
        "https://robyn.tech/documentation/en/api_reference",
        {"robyn.Robyn": ("py:class", "getting_started"), "robyn.SubRouter": ("py:class", "views")},
    ),
    "sanic": Project("https://sanic.dev/api", {"sanic.app.Sanic": ("py:class", "sanic.app.html")}),
    "tornado": Project(
        "https://www.tornadoweb.org/en/stable",
        {"tornado.web.Application": ("py:class", "web.html#tornado.web.Application")},
    ),
    "urllib3": Project(
        "https://urllib3.readthedocs.io/en/stable",
        {"urllib3.poolmanager.PoolManager": ("py:class", "reference/urllib3.poolmanager.html#urllib3.PoolManager")},
    ),
}
