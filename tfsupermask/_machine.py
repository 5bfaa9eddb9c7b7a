"""What the machine is: figures mean little without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


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
