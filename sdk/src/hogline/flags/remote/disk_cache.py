"""The disk cache: the processes of a host share the flag definitions of one key.

One request serves all of them.

It has two files, each replaced as a whole: the result of the last request (`.state`, small, read at
every tick) and the definitions (`.json`, read only when the state names another version). A process
takes the lock before it asks the server; a forked child does not inherit this kind of lock. Without
a usable folder, each process asks for itself.
"""

import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

try:
    import fcntl
except ImportError:  # Windows: each process asks for itself
    fcntl = None  # type: ignore[assignment]

__all__ = ["DiskCache", "State", "default_folder"]

_log = logging.getLogger("hogline")
# Caches for which this process asks the server, and its pid.
_claims: dict[str, tuple[int, object]] = {}


@dataclass(frozen=True, slots=True)
class State:
    """The result of the last request for definitions.

    Times are seconds since 1970, because several processes read them.
    """

    version: str = ""  # of the cached definitions; empty: there are none
    etag: str | None = None
    asked_at_s: float = 0.0
    ask_again_at_s: float = 0.0
    failures: int = 0  # in a row
    error: str = ""

    def changed(self, **changes: Any) -> "State":
        """Return a copy with *changes*."""
        return replace(self, **changes)

    @property
    def status(self) -> int | None:
        """The HTTP status that *error* ends with, if the server answered."""
        word = self.error.rpartition(" ")[2]
        return int(word) if word.isdecimal() else None


def default_folder() -> str:
    """Return the folder that the processes of this user share.

    The result is empty if this system has no folder for temporary files.
    """
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    try:
        return os.path.join(tempfile.gettempdir(), f"hogline-{user}")  # noqa: PTH118 - pathlib costs start-up time
    except OSError:
        return ""


class DiskCache:
    """The files of one host and key.

    With an empty or unusable *folder* nothing is cached, and no process is locked out.
    """

    def __init__(self, folder: str, *, host: str, token: str, secret_key: str) -> None:
        name = hashlib.sha256(f"{host}\n{token}\n{secret_key}".encode()).hexdigest()[:32]
        self._base = os.path.join(folder, f"flags-{name}") if folder and _private(folder) else None  # noqa: PTH118

    @property
    def is_shared(self) -> bool:
        """Whether other processes can read this cache."""
        return self._base is not None

    def state(self) -> State | None:
        """Return the result of the last request of any process.

        The result is None if there was no request, or if the file cannot be read.
        """
        raw = self._read(".state")
        try:
            return State(**orjson.loads(raw)) if raw else None
        except (TypeError, ValueError):
            # Another version of Hogline wrote the file, or it is half written.
            return None

    def definitions(self, version: str) -> dict[str, Any] | None:
        """Return the definitions of *version*.

        The result is None if they are missing, or were replaced in the meantime.
        """
        raw = self._read(".json")
        try:
            kept = orjson.loads(raw) if raw else None
        except ValueError:
            return None
        if (
            not isinstance(kept, dict)
            or kept.get("version") != version
            or not isinstance(kept.get("definitions"), dict)
        ):
            return None
        definitions: dict[str, Any] = kept["definitions"]
        return definitions

    def put(self, state: State, definitions: dict[str, Any] | None = None) -> None:
        """Write *state*, and *definitions* if they are new. The caller holds the lock."""
        if definitions is not None:
            self._write(".json", orjson.dumps({"version": state.version, "definitions": definitions}))
        self._write(".state", orjson.dumps(asdict(state)))

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Yield whether this process may ask the server now. Never waits."""
        if self._base is None or fcntl is None:
            yield True
            return
        # The file lock excludes other processes, but not another client of this process.
        base, claim = self._base, (os.getpid(), object())
        holder = _claims.setdefault(base, claim)
        if holder is not claim:
            if holder[0] == claim[0]:
                yield False
                return
            _claims[base] = claim  # a claim of the parent, from before a fork
        try:
            with self._lock_file() as mine:
                yield mine
        finally:
            _claims.pop(base, None)

    @contextmanager
    def _lock_file(self) -> Iterator[bool]:
        try:
            handle = os.open(f"{self._base}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield True
            return
        try:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True
        finally:
            os.close(handle)  # releases the lock

    def _read(self, suffix: str) -> bytes | None:
        if self._base is None:
            return None
        try:
            with open(self._base + suffix, "rb") as file:  # noqa: PTH123
                return file.read()
        except OSError:
            return None

    def _write(self, suffix: str, body: bytes) -> None:
        if self._base is None:
            return
        temporary = f"{self._base}{suffix}.{os.getpid()}"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(handle, "wb") as file:  # noqa: PTH123
                file.write(body)
            os.replace(temporary, self._base + suffix)  # noqa: PTH105
        except OSError as error:
            _log.warning(
                "hogline: cannot write flag definitions to %s (%s); each process asks for itself", self._base, error
            )
            self._base = None


def _private(folder: str) -> bool:
    """Make *folder*, and return whether only this user can write there.

    That matters because its files decide what people see.
    """
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
        # In a folder where everybody may write, do not follow a link that somebody else made.
        found = os.lstat(folder) if folder == default_folder() else os.stat(folder)  # noqa: PTH116
        own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        if stat.S_ISDIR(found.st_mode) and own and not found.st_mode & 0o022:
            return True
        reason = "it is not a folder where you alone may write"
    except (OSError, ValueError) as error:  # ValueError: no system accepts such a name
        reason = str(error)
    _log.warning(
        "hogline: flag definitions are not shared in %s (%s); set flag_cache_dir to a folder of your own",
        folder,
        reason,
    )
    return False
