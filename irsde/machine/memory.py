"""What this process asks of its allocator."""

import ctypes
import os
from contextlib import suppress

LARGEST = 2**31 - 1
# of malloc.h: one arena, nothing mapped on its own, nothing given back
SETTINGS = {"M_ARENA_MAX": (-8, 1), "M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, LARGEST)}


def keep_memory() -> None:
    """Let this process keep the memory it frees, in large pages where the system has them.

    A network allocates the same tensors again and again, for which the system would find new pages
    and fill them with zeros each time. No result depends on it. To be called before torch's first
    tensor, at which it reads its variable; without GNU's allocator only that counts.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    with suppress(AttributeError):
        allocator = ctypes.CDLL(None).mallopt
        for setting, value in SETTINGS.values():
            allocator(setting, value)


def give_memory_back() -> None:
    """Return to the system what is freed by now, where the allocator is GNU's."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
