"""Real instances: `hogline serve` in its own process, on a free port, stopped or killed by pid."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

START_S = 60.0


@dataclass
class Instance:
    """A running instance, its keys and its folder."""

    process: subprocess.Popen
    data_dir: Path
    url: str
    token: str
    key: str
    log: list[str]
    reader: threading.Thread

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """Kill the process so that no handler runs, as in a power cut."""
        self.process.kill()
        self.process.wait(30)
        self._end()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(60)
        self._end()
        return status

    def errors(self) -> str:
        """Return the log from its first traceback on, or nothing."""
        text = "\n".join(self.log)
        found = text.find("Traceback")
        return text[text.rfind("\n", 0, found) + 1 :][:6_000] if found >= 0 else ""

    def _end(self) -> None:
        self.reader.join(10)
        self.process.stdout.close()


def start_instance(
    data_dir: Path,
    *options: str,
    environ: dict[str, str] | None = None,
    preexec=None,
    command: tuple[str, ...] = (sys.executable, "-m", "hogline.cli"),
    cwd: Path | None = None,
) -> Instance:
    """Start an instance on *data_dir*; return it once it has printed its address."""
    process = subprocess.Popen(
        [*command, "serve", "--data", str(data_dir), "--port", "0", *options],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})},
        preexec_fn=preexec,  # noqa: PLW1509 - sets a limit of the child, before any thread of ours matters
    )
    log: list[str] = []
    found: dict[str, str] = {}
    ready = threading.Event()

    def read() -> None:
        for line in process.stdout:
            log.append(line.rstrip("\n"))
            name, _, value = line.strip().rpartition("  ")
            if line.startswith("  ") and name.strip() in ("url", "project token", "personal key"):
                found[name.strip()] = value.strip()
                if len(found) == 3:
                    ready.set()
        ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    if not ready.wait(START_S) or len(found) < 3:
        process.kill()
        process.wait(30)
        reader.join(10)
        process.stdout.close()
        raise AssertionError("the instance did not start:\n" + "\n".join(log))
    return Instance(process, data_dir, found["url"], found["project token"], found["personal key"], log, reader)


def printed_keys(data_dir: Path) -> dict[str, str]:
    """Return the output of `hogline keys --json`."""
    command = [sys.executable, "-m", "hogline.cli", "keys", "--data", str(data_dir), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout)
