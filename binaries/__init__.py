"""Programs: thin front ends of the library with absl."""

import contextlib
import os
import signal
import sys

for _number in range(3):
    try:
        os.fstat(_number)
    except OSError:  # closed: the next file to be opened would take its place
        os.open(os.devnull, os.O_RDWR)


def end_on_signals() -> None:
    """Lets SIGTERM and Ctrl-C end this process while it has nothing to clean up."""
    stderr = os.dup(2)  # 2 leads to nowhere while TensorFlow is loaded

    def end(number, frame):
        with contextlib.suppress(OSError):
            os.write(stderr, f"interrupted {signal.Signals(number).name}\n".encode())
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


# python -m binaries.PROGRAM or the command, which load modules next.
if sys.argv and (sys.argv[0] == "-m" or os.path.basename(sys.argv[0]) == "tfsupermask"):
    end_on_signals()
