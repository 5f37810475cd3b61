"""The demo's child processes: the instance, and the shop in each of its releases."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import urllib3

from hogline_instance.exceptions import InstanceError

__all__ = ["Instance", "Shop", "end", "listen", "start_instance", "start_shop"]

_START_S = 60.0


class Instance:
    """A running instance: its URL and its keys."""

    def __init__(self, keys: dict[str, str]) -> None:
        self.url, self.token, self.key = keys["url"], keys["project token"], keys["personal key"]


class Shop:
    """A running shop."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str) -> None:
        self.process = process
        self.url = url

    def wait(self) -> None:
        """Wait until it answers."""
        deadline_s = time.monotonic() + _START_S
        pool = urllib3.PoolManager(retries=False, timeout=2)
        while time.monotonic() < deadline_s and self.process.poll() is None:
            try:
                if pool.request("GET", f"{self.url}/").status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)
        raise InstanceError(f"the shop does not respond at {self.url}")


def listen(port: int) -> socket.socket:
    """Return a socket for the shop."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise InstanceError(
            f"the shop cannot listen on port {port}: {error.strerror}; choose another with --shop-port"
        ) from error
    listener.listen(128)
    return listener


def start_instance(stack: ExitStack, data: Path, port: int, scripts: Path | None) -> Instance:
    """Start the instance, which *stack* ends, and return it once it listens."""
    command = [sys.executable, "-m", "hogline.cli", "serve", "--data", str(data), "--port", str(port)]
    command += ["--posthog-js", str(scripts)] if scripts is not None else []
    log = stack.enter_context((data if data.is_dir() else Path(tempfile.gettempdir())).joinpath("serve.log").open("w+"))
    process = subprocess.Popen(  # noqa: S603 - this interpreter, with words of ours
        command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
    )
    stack.callback(end, process)
    assert process.stdout is not None
    keys: dict[str, str] = {}
    for line in process.stdout:
        name, _, value = line.strip().partition("  ")
        if value:
            keys[name] = value.strip()
        if len(keys) == 3:
            break
    else:
        log.seek(0)
        told = [line.strip() for line in log if line.startswith("hogline serve: ")]
        raise InstanceError(
            told[-1].removeprefix("hogline serve: ") if told else "the instance did not start; try `hogline serve`"
        )
    # Keep reading its output and discard it: a full pipe would block the instance.
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return Instance(keys)


def start_shop(
    stack: ExitStack, listener: socket.socket, app: Path, release: str, instance: Instance, *, has_posthog_js: bool
) -> Shop:
    """Start *release* of the shop in *app*, which *stack* ends."""
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environ = os.environ | {
        "SHOP_INSTANCE_URL": instance.url,
        "SHOP_TOKEN": instance.token,
        "SHOP_APP": str(app),
        "SHOP_RELEASE": release,
        "SHOP_SOCKET": str(listener.fileno()),
        "SHOP_POSTHOG_JS": "1" if has_posthog_js else "0",
    }
    command = [sys.executable, "-m", "hogline_instance.demo.shop_server"]
    process = subprocess.Popen(  # noqa: S603 - this interpreter, with words of ours
        command, env=environ, pass_fds=[listener.fileno()], start_new_session=True
    )
    stack.callback(end, process)
    listener.close()
    return Shop(process, url)


def end(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    """Terminate a child, and kill it if it does not end in time."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
