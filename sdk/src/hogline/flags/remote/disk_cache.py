"""The shelf: where the processes of one host keep the flag definitions of one key, so that one of them asks and all know.

Two files, each replaced whole: what the last request came to (`.state`, small, read at every tick) and the definitions
themselves (`.json`, read only when the state names another version). Who wants to ask the server takes the lock first; it is
of the kind that a forked child does not inherit. Where no such folder can be had, each process asks for itself.
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

__all__ = ["Shelf", "State", "default_folder"]

_log = logging.getLogger("hogline")
_claims: dict[str, tuple[int, object]] = {}  # shelves that this process is asking for, and the pid that said so


@dataclass(frozen=True, slots=True)
class State:
    """What the last request for definitions came to. Times are seconds since 1970: several processes read them."""

    version: str = ""  # of the definitions on the shelf; empty: there are none
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
    """Return the folder that the processes of this user share; empty: this system has no place for temporary files."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    try:
        return os.path.join(tempfile.gettempdir(), f"hogline-{user}")  # noqa: PTH118 - pathlib costs start-up time
    except OSError:
        return ""


class Shelf:
    """The files of one host and key. *folder* empty or unusable: nothing is kept, nobody is locked out."""

    def __init__(self, folder: str, *, host: str, token: str, secret_key: str) -> None:
        name = hashlib.sha256(f"{host}\n{token}\n{secret_key}".encode()).hexdigest()[:32]
        self._base = os.path.join(folder, f"flags-{name}") if folder and _private(folder) else None  # noqa: PTH118

    @property
    def is_shared(self) -> bool:
        """Whether other processes see what is put here."""
        return self._base is not None

    def state(self) -> State | None:
        """Return what the last request of any process came to; None: that cannot be read, or nobody has asked."""
        raw = self._read(".state")
        try:
            return State(**orjson.loads(raw)) if raw else None
        except (TypeError, ValueError):  # another version wrote it, or only half of it is there
            return None

    def definitions(self, version: str) -> dict[str, Any] | None:
        """Return the definitions of *version*; None: they are not here, or have been replaced meanwhile."""
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
        """Keep *state*, and with it *definitions* if they are new. The caller holds the lock."""
        if definitions is not None:
            self._write(".json", orjson.dumps({"version": state.version, "definitions": definitions}))
        self._write(".state", orjson.dumps(asdict(state)))

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Yield whether this process may ask the server now. Never waits."""
        if self._base is None or fcntl is None:
            yield True
            return
        # The lock keeps out other processes, and not another client of this one.
        base, claim = self._base, (os.getpid(), object())
        holder = _claims.setdefault(base, claim)
        if holder is not claim:
            if holder[0] == claim[0]:
                yield False
                return
            _claims[base] = claim  # what a fork has left over
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
            os.close(handle)  # lets go of the lock

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
                "hogline: cannot keep flag definitions in %s (%s); each process asks for itself", self._base, error
            )
            self._base = None


def _private(folder: str) -> bool:
    """Make *folder*, and tell whether nobody else can write there: what lies in it decides what people see."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
        # In a place where everybody may write, somebody else's link is not followed either.
        found = os.lstat(folder) if folder == default_folder() else os.stat(folder)  # noqa: PTH116
        own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        if stat.S_ISDIR(found.st_mode) and own and not found.st_mode & 0o022:
            return True
        reason = "it is not a folder where you alone may write"
    except (OSError, ValueError) as error:  # the latter: no system takes such a name
        reason = str(error)
    _log.warning(
        "hogline: flag definitions are not shared in %s (%s); set flag_cache_dir to a folder of your own",
        folder,
        reason,
    )
    return False
