"""What the machine and the program are: figures mean little without them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

_CHECKOUT = Path(__file__).parents[1]
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


def package_version() -> str:
    """Returns the version of this package, or "unknown" if it is not installed."""
    try:
        return importlib.metadata.version("tfsupermask")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


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
