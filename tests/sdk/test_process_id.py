"""The id of the process, known without a system call.

Right in every child, however it was forked.
"""

import ctypes
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from hogline.process_id import current_pid

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def test_it_is_the_processs_id_in_every_thread():
    """This also holds when it is read again."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(current_pid())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {*found, current_pid(), current_pid()} == {os.getpid()}


@needs_fork
@pytest.mark.parametrize("fork", ["os.fork()", "ctypes.PyDLL(None).fork()"], ids=["with hooks", "without hooks"])
def test_a_child_and_its_child_know_their_own(fork):
    """Python's hooks run for the one kind of fork, and not for the other, as in uWSGI."""
    script = f"""
        import ctypes, os
        from hogline.process_id import current_pid
        assert current_pid() == os.getpid()
        for _ in range(2):
            pid = {fork}
            if pid:
                assert current_pid() == os.getpid()
                status = os.waitpid(pid, 0)[1]
                os._exit(0 if status == 0 else 1)
            if current_pid() != os.getpid() or current_pid() != os.getpid(): os._exit(2)
        os._exit(0)
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_where_the_kernel_empties_no_page_it_is_asked_each_time():
    """Old kernels refuse the request, and other systems do not know it."""
    script = """
        import mmap, os
        class Refusing(mmap.mmap):
            def madvise(self, *_): raise OSError(22, "Invalid argument")
        mmap.mmap = Refusing
        from hogline.process_id import current_pid
        assert current_pid is os.getpid
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


def test_the_test_can_fork_without_hooks():
    """`PyDLL` finds the C library's function."""
    assert ctypes.PyDLL(None).getpid() == os.getpid()
