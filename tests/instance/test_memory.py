"""The C library gives memory back to the system."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")

# glibc keeps a buffer below its threshold, which grows to the size of each buffer that is freed. The
# buffer that is still held lies above the others, so that they are not the end of the heap.
SCRIPT = """
import os
from hogline_instance.memory import return_large_buffers, return_unused
def own_mb(): return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
{setting}
bytearray(b"x") * 8_000_000
before = own_mb()
held = [bytearray(b"x") * 4_000_000 for _ in range(40)]
del held[:-1]
{afterwards}
print(round(own_mb() - before))
"""


@pytest.mark.parametrize(
    ("setting", "afterwards", "keeps_much"),
    [("", "", True), ("return_large_buffers()", "", False), ("", "return_unused()", False)],
    ids=["by default", "large buffers", "unused memory"],
)
def test_freed_memory_is_returned(setting, afterwards, keeps_much):
    """A process that freed 156 MB keeps them without the settings, which shows that these act."""
    script = SCRIPT.format(setting=setting, afterwards=afterwards)
    kept_mb = int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    assert (kept_mb > 100) is keeps_much, kept_mb
