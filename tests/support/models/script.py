"""Scripts: the first argument says how the process is created; it ends by itself or by a signal."""

import multiprocessing
import os
import sys

COUNT = 5


def say(*words):
    os.write(1, (" ".join(words) + "\n").encode())


def work(number):
    from tests.support.models.client import capture

    say(*[capture(f"child {number} {n}") for n in range(COUNT)])
    wait()


def task(number):
    from tests.support.models.client import capture

    return capture(f"task {number}")


def wait():
    """Wait for a signal if the cell ends this process with one."""
    if "STAY" in os.environ:
        say("ready", str(os.getpid()))
        multiprocessing.Event().wait(60)


def main(model):
    from tests.support.models.client import capture, client

    if model != "late":
        say(*[capture(f"parent {n}") for n in range(COUNT)])
    if model in ("fork", "spawn"):
        context = multiprocessing.get_context(model)
        children = [context.Process(target=work, args=(number,)) for number in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
    elif model in ("pool-fork", "pool-spawn"):
        pool = multiprocessing.get_context(model.removeprefix("pool-")).Pool(2, maxtasksperchild=2)
        say(*pool.map(task, range(8), chunksize=1))
        pool.close()
        pool.join()
    elif model == "os.fork":
        pid = os.fork()
        if pid == 0:
            work(0)
            client.shutdown()
            os._exit(0)
        os.waitpid(pid, 0)
    elif model == "lambda":
        for (
            line
        ) in sys.stdin:  # an invocation captures, flushes and responds; the process is frozen between two of them
            ids = [capture(f"{line.strip()} {n}") for n in range(COUNT)]
            if line.strip() != "lazy":
                client.flush(20)
            say(*ids)
    else:
        wait()


if __name__ == "__main__":
    main(sys.argv[1])
