"""A sink in its own process, so that its work is not measured, and an address where nothing
listens.
"""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

__all__ = ["NOWHERE", "sink_process"]

# A client that never sends still needs an address. Nothing connects to this one.
NOWHERE = "http://127.0.0.1:9"

_SERVER = """
import asyncio, sys
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 28\\r\\n\\r\\n{\\"status\\": 1, \\"results\\": {}}"
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            lengths = [line.split(b":")[1] for line in head.lower().split(b"\\r\\n") if line.startswith(b"content-length:")]
            if lengths: await reader.readexactly(int(lengths[0]))
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), limit=2**26)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextlib.contextmanager
def sink_process() -> Iterator[str]:
    """Yield the URL of a sink that answers every request with 200 and stores nothing."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", _SERVER, str(port)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
