"""A real PostgreSQL on loopback, in a temporary folder, for the tests that need one."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import require

_START_S = 60.0


class Postgres:
    """A running server, in which each test creates its own database."""

    def __init__(self, port: int) -> None:
        self._port = port

    def new_database(self) -> str:
        """Create an empty database and return its URL for SQLAlchemy."""
        import psycopg

        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/{name}"

    def _dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self._port} user=postgres dbname={database}"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server; skip the test if PostgreSQL is not installed."""
    programs = Path(require("postgres")).parent
    folder = Path(tempfile.mkdtemp(prefix="hogline-postgres-"))
    # The server refuses to run as root; Debian's package creates a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    try:
        initdb = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
        ]
        subprocess.run(initdb, check=True, capture_output=True, user=user, cwd=folder, timeout=120)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", "", "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user, cwd=folder,
        )  # fmt: skip
        try:
            _wait(server, port)
            yield Postgres(port)
        finally:
            server.terminate()
            server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(server: subprocess.Popen, port: int) -> None:
    import psycopg

    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            assert server.poll() is None, "PostgreSQL ended at its start"
            assert time.monotonic() < deadline_s, f"PostgreSQL does not answer after {_START_S:.0f} s"
            time.sleep(0.1)
        else:
            return
