"""One run: `python -m tfsupermask.experiments.running.worker CONFIG`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

from tfsupermask import runs, train
from tfsupermask._files import needs_no_traceback


def main(config: str) -> None:
    """Runs a configuration in JSON; saves and ends when standard input is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        train.run(runs.Config(**json.loads(config)))
    except Exception as error:
        if not needs_no_traceback(error):
            raise
        sys.exit(f"error: {' '.join(str(error).split())}")  # the log's last line
    except KeyboardInterrupt as interrupt:
        sys.exit(getattr(interrupt, "exit_status", 130))


def _end_with_parent():
    """Asks this process to end when standard input is closed."""
    # Not through `sys.stdin`, which Python could not close at its end.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1])
