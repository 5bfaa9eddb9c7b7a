"""Stands in for a run: leaves its files at once, fails, or waits to be ended.

Which, its learning rate says; no run has such a one.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

# Those of `tfsupermask.runs.metrics`, which would bring TensorFlow in.
HEADER = (
    "epoch,train_loss,train_top1,train_top5,test_loss,test_top1,test_top5,sparsity,"
    "mask_flips,learning_rate,seconds"
)

DONE, FAILS, DIES, WAITS = 0.1, 0.2, 0.3, 0.4


def main(config):
    folder = Path(config["workdir"])
    folder.mkdir(exist_ok=True)
    started = folder / "started.txt"
    with open(started, "a") as file:
        file.write(f"{sorted(os.sched_getaffinity(0))}\n")
    if "TF_CONFIG" in os.environ:
        sys.exit("error: It would wait for other workers.")
    match config["learning_rate"]:
        case 0.2 if len(started.read_text().splitlines()) == 1:
            print("Something was tried.")
            sys.exit("error: This cannot work.")
        case 0.3:
            os.kill(os.getpid(), signal.SIGKILL)
        case 0.4:
            wait_for_the_end(folder)
    epoch = config["epochs"]
    if config["stop_after_epoch"] is not None:
        epoch = config["stop_after_epoch"]
    accuracies = {"test_top1": 0.5, "test_top5": 0.9} if epoch else {}
    summary = {"epoch": epoch, "init_seconds": 60, **accuracies}
    rows = [",".join([str(n + 1)] * 11) for n in range(epoch)]
    (folder / "metrics.csv").write_text("\n".join([HEADER, *rows, ""]))
    (folder / "summary.json").write_text(json.dumps(summary))


def wait_for_the_end(folder):
    def end(number, frame):
        (folder / "saved.txt").write_text("saved")
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    (folder / "waiting.txt").touch()
    sys.stdin.buffer.read()
    end(signal.SIGTERM, None)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
    time.sleep(0.05)
