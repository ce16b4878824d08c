"""The machine, as far as it decides what runs and how fast."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from core.cache import cache_dir
from core.errors import UserError
from core.runtime import cpu_count

#: Instructions that decide the speed of float32, bfloat16 and int8 kernels, by the names of the kernel.
_FEATURES = (
    *("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "fphp", "i8mm", "bf16", "sve", "sve2"),
)
#: Environment variables that change speed or results; others are private.
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF")
_UNLIMITED = 2**60  # bytes; version 1 of cgroups writes such a number for no limit


@dataclass(frozen=True)
class Machine:
    """Facts about the machine; ``None`` is unknown, or no limit.

    Attributes:
        system: operating system, kernel and C library.
        python: version and place.
        cpu: model.
        features: its instructions for vectors and matrices that matter here.
        cores_allowed: logical cores that this process may use.
        cores: logical cores.
        cores_physical: physical cores.
        core_quota: cores that a container grants.
        memory_gb: in all, 10⁹ bytes, as the next two.
        memory_free_gb: that programs can have now.
        memory_limit_gb: of a container.
        environment: variables that change speed or results.
    """

    system: str
    python: str
    cpu: str
    features: tuple[str, ...]
    cores_allowed: int
    cores: int | None
    cores_physical: int | None
    core_quota: float | None
    memory_gb: float | None
    memory_free_gb: float | None
    memory_limit_gb: float | None
    environment: dict[str, str]


@dataclass(frozen=True)
class CacheState:
    """The cache folder, which may not exist yet; ``problem`` is one line if it cannot be used."""

    path: str
    size_gb: float
    disk_free_gb: float | None
    problem: str | None = None


def machine() -> Machine:
    """Look at this machine."""
    cpu, flags = _cpu()
    total = free = physical = None
    try:
        import psutil

        memory = psutil.virtual_memory()
        total, free, physical = (
            memory.total / 1e9,
            memory.available / 1e9,
            psutil.cpu_count(logical=False),
        )
    except ImportError:  # the packages say so
        pass
    limit = _number("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    return Machine(
        system=" ".join(filter(None, (platform.platform(), *platform.libc_ver()))),
        python=f"{platform.python_version()} {sys.executable}",
        cpu=f"{cpu}, {platform.machine()}",
        features=tuple(name for name in _FEATURES if name in flags),
        cores_allowed=cpu_count(),
        cores=os.cpu_count(),
        cores_physical=physical,
        core_quota=_core_quota(),
        memory_gb=total,
        memory_free_gb=free,
        memory_limit_gb=None if limit is None or limit > _UNLIMITED else limit / 1e9,
        environment={name: os.environ[name] for name in _VARIABLES if name in os.environ},
    )


def cache_state() -> CacheState:
    """Look at the cache folder."""
    try:
        path = cache_dir()
    except UserError as error:
        return CacheState("", 0.0, None, str(error))
    size = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                size += os.lstat(os.path.join(folder, name)).st_size
            except OSError:  # deleted meanwhile
                continue
    try:
        there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
        return CacheState(str(path), size / 1e9, shutil.disk_usage(there).free / 1e9)
    except OSError as error:  # a directory above it may not be looked into
        return CacheState(str(path), size / 1e9, None, f"{error.filename}: {error.strerror}")


def _cpu() -> tuple[str, set[str]]:
    """Return the model of the processor and its flags."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=10)
            return ended.stdout.strip() or platform.processor(), set()
        except (OSError, subprocess.SubprocessError):
            return platform.processor(), set()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or "unknown processor", set()
    model = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1] if model else "unknown processor", set(flags[1].split()) if flags else set()


def _core_quota() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        quota_us = _number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        period_us = _number("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
        return quota_us / period_us if quota_us and quota_us > 0 and period_us else None


def _number(*paths: str) -> int | None:
    """Return the number in the first of these files that there is; ``None`` where it says ``max``."""
    for path in paths:
        try:
            return int(Path(path).read_text())
        except (OSError, ValueError):
            continue
    return None
