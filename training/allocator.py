"""Memory that a step of training frees stays with the process, for the next one."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# <malloc.h>
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Have glibc serve large blocks from its heap and never give them back; tells whether it does.

    By default it maps a block of more than 32 MB anew each time, and the kernel clears its pages at the
    first touch: a step of training spent up to a third of its time on that
    (``benchmarks/allocator.py``). Elsewhere than on glibc nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_ARENA_MAX, 1))
    return all(library.mallopt(*setting) == 1 for setting in settings)
