"""Memory that a process frees and takes again."""

import platform
import subprocess
import sys

import pytest

ALLOCATE = """
import resource, sys
from irsde.machine.memory import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
import numpy as np

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

np.ones(2**23)
before = faults()
for _ in range(5):
    np.ones(2**23)
print(faults() - before)
"""


def faults(how: str) -> int:
    """Pages that five arrays of 64 MiB needed after one of the same size was freed."""
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATE, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks GNU's allocator")
def test_freed_memory_is_used_again():
    assert faults("keep") < 0.01 * faults("leave")
