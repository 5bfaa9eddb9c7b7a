"""One process at a time in a run folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tfsupermask._validation import fail

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a folder; the system lets go when this one ends.

    The package `filelock` takes the same lock, but cannot say which process has it.

    Args:
        folder: An existing folder.

    Raises:
        InputError: Another process is at work in the folder.
    """
    with open(folder / LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise fail(
                "`workdir` must not be in use by another process; wait for it or give "
                "another --workdir.",
                workdir=str(folder),
                process=file.read().strip() or "unknown",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}@{os.uname().nodename}")
        file.flush()
        yield
