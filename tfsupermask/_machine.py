"""What the machine and the program are: figures mean little without them."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from pathlib import Path

_CHECKOUT = Path(__file__).parents[1]
_CPUINFO = Path("/proc/cpuinfo")
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
# The limit of a container, what it uses, and how much of that is files that the system
# may drop: control groups of version 2, then 1.
_CGROUPS = (
    ("memory.max", "memory.current", "memory.stat"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
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


def commit() -> str | None:
    """Returns the commit of the git checkout that runs, `None` if this is not one.

    A "+" follows if files of the commit were changed since.
    """
    # Not where the package is installed inside another project's checkout.
    if not (_CHECKOUT / ".git").exists():
        return None
    describe = ["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    elsewhere = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(_CHECKOUT), *describe],
            capture_output=True,
            text=True,
            env=elsewhere,
        )
    except OSError:  # there is no git
        return None
    return done.stdout.strip() or None


def available_memory() -> int:
    """Returns the bytes that this process can still take, within its container."""
    free = [_find(_MEMINFO, "MemAvailable:") * 1024] if _MEMINFO.is_file() else []
    for limit, used, statistics in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # no limit reads "max"
            most, taken = (int((_CGROUP / name).read_text()) for name in (limit, used))
            free.append(most - taken + _find(_CGROUP / statistics, "inactive_file"))
    return max(0, min(free, default=1 << 62))


def _find(path, name):
    """Returns the number behind a name in a file of such lines."""
    words = [line.split() for line in path.read_text().splitlines()]
    return next(int(word[1]) for word in words if word[0] == name)
