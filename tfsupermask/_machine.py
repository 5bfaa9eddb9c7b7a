"""What the machine is: figures mean little without it."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
# The limit of a container and what it uses: control groups of version 2, then 1.
_CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def processor() -> str:
    """Returns the processor's name, or its architecture's if it has none."""
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def num_cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def available_memory() -> int:
    """Returns the bytes that this process can still take, within its container."""
    lines = _MEMINFO.read_text().splitlines() if _MEMINFO.is_file() else []
    free = [int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line]
    for limit, used in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # no limit reads "max"
            free.append(int(limit.read_text()) - int(used.read_text()))
    return max(0, min(free, default=1 << 62))
