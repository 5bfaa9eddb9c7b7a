"""Programs: thin front ends of the library with absl."""

import os
import signal
import sys


def end_on_signals() -> None:
    """Lets SIGTERM and Ctrl-C end this process while it has nothing to clean up."""

    def end(number, frame):
        os.write(2, f"interrupted {signal.Signals(number).name}\n".encode())
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


# python -m binaries.PROGRAM or the command, which load modules next.
if sys.argv and (sys.argv[0] == "-m" or os.path.basename(sys.argv[0]) == "tfsupermask"):
    end_on_signals()
