"""The instance's commands: `hogline serve`, `keys`, `tail`, `demo`.

The SDK's `hogline` command finds them through entry points.
"""

import argparse
import json
import logging
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from hogline_instance.exceptions import InstanceError
from hogline_instance.memory import collect_nothing, collect_rarely, return_large_buffers
from hogline_instance.settings import Settings

if TYPE_CHECKING:
    from hogline_instance.db import Database

__all__ = ["demo", "keys", "serve", "tail"]


def serve(argv: list[str]) -> int:
    """Run the instance until Ctrl-C or SIGTERM.

    It then finishes open requests, stores the accepted events, and exits.
    """
    parser = argparse.ArgumentParser(prog="hogline serve", description="Run a PostHog instance in one process.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder for all of its data (default: hogline-data)")
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8010; 0 takes a free one)")
    parser.add_argument(
        "--posthog-js", type=Path, metavar="DIR", help="dist folder of the npm package posthog-js, served to browsers"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        settings = Settings.from_environment(
            data_dir=options.data, host=options.host, port=options.port, posthog_js_dir=options.posthog_js
        )
        listener = _listen(settings)
    except InstanceError as error:
        return _failed("serve", error)
    try:
        return _serve(settings, listener)
    except InstanceError as error:
        return _failed("serve", error)
    finally:
        listener.close()


def keys(argv: list[str]) -> int:
    """Print the URL, project token and personal key of a data folder."""
    parser = argparse.ArgumentParser(
        prog="hogline keys", description="Print an instance's URL, project token and personal key."
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the instance's data folder (default: hogline-data)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    try:
        settings = Settings.from_environment(data_dir=options.data)
        if not settings.data_dir.is_dir():
            raise InstanceError(
                f"there is no data folder {settings.data_dir}; `hogline serve --data {settings.data_dir}` creates it"
            )
        from hogline_instance.data_folder import open_database

        with closing(open_database(settings)) as database:
            found = _keys(settings, _last_url(settings), database)
    except InstanceError as error:
        return _failed("keys", error)
    if options.json:
        print(json.dumps(found))
    else:
        _print_keys(found)
    return 0


def tail(argv: list[str]) -> int:
    """Show events in the terminal as they arrive."""
    from hogline_instance.live import tail as command

    return command.main(argv)


def demo(argv: list[str]) -> int:
    """Run the instance, a small shop and its visitors."""
    from hogline_instance import demo as command

    return command.main(argv)


def _serve(settings: Settings, listener: socket.socket) -> int:
    collect_nothing()
    return_large_buffers()
    # Imported lazily, so that `hogline keys` starts without loading the store and the pages.
    from hogline_instance import server
    from hogline_instance.app import create_app
    from hogline_instance.startup import open_services

    services = open_services(settings)
    try:
        url = _url(settings, listener)
        (settings.data_dir / "url").write_text(url)

        def announce() -> None:
            print("Hogline instance")
            _print_keys(_keys(settings, url, services.database))
            sys.stdout.flush()

        app = create_app(services)
        collect_rarely()
        server.run(
            app,
            listener,
            max_header_bytes=settings.max_header_bytes,
            max_connections=settings.max_connections,
            head_timeout_s=settings.head_timeout_s,
            body_timeout_s=settings.body_timeout_s,
            on_started=announce,
            on_stopping=services.live.close,
        )
    finally:
        print("storing accepted events ...", file=sys.stderr, flush=True)
        services.close()
    return 0


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise InstanceError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another port with --port (0 takes a free one)"
        ) from error
    listener.listen(1024)
    return listener


def _url(settings: Settings, listener: socket.socket) -> str:
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _last_url(settings: Settings) -> str:
    try:
        return (settings.data_dir / "url").read_text().strip()
    except FileNotFoundError:
        return f"http://{settings.host}:{settings.port}"


def _keys(settings: Settings, url: str, database: "Database") -> dict[str, str | None]:
    from hogline_instance.projects import Projects

    projects = Projects(
        database,
        secrets_dir=settings.data_dir,
        max_age_s=settings.project_lookup_max_age_s,
        holds_events=(settings.data_dir / "store").is_dir(),
    )
    return {"url": url, "project_token": projects.current().token, "personal_key": projects.personal_key()}


def _print_keys(found: dict[str, str | None]) -> None:
    for name, value in found.items():
        print(f"  {name.replace('_', ' '):<15}{value or 'not kept'}")


def _failed(command: str, error: InstanceError) -> int:
    print(f"hogline {command}: {error}", file=sys.stderr)
    return 1
