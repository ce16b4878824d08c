"""The device of a training, the precision of its forward pass, and its memory."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import torch

# <malloc.h>
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def pick_device() -> torch.device:
    """Return this process's GPU (the first, unless several processes were launched), else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def forward_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype of the forward pass, given ``TrainConfig.precision``."""
    if precision == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep the memory that a step frees, for the next one; returns whether it does.

    By default glibc maps a block of more than 32 MB anew each time, and the kernel clears its pages at
    the first touch: a step of training spent up to a third of its time on that
    (``benchmarks/allocator.py``). Other C libraries stay as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_ARENA_MAX, 1))
    return all(library.mallopt(*setting) == 1 for setting in settings)
