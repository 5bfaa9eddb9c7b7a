"""Several worker processes on this machine, as TF_CONFIG describes them."""

import json
import re
import shutil
import signal
import time

import cv2
import numpy as np
import pytest

from tests import programs
from tests.train.common import advance
from tests.workers import free_addresses
from tfsupermask import data
from tfsupermask.runs import checkpoint as checkpoints

EPOCHS = 6
FIELDS = {
    "dataset": "folder",
    "image_size": 8,
    "epochs": EPOCHS,
    "batch_size": 30,
    "init": "simple_patches",
    "num_patches": 500,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Real digits at 8×8 pixels, a folder a class."""
    root = tmp_path_factory.mktemp("digits")
    digits = data.load("digits").train
    for number in range(400):
        folder = root / str(digits.labels[number])
        folder.mkdir(exist_ok=True)
        image = digits.images[number, 2::4, 2::4]
        assert cv2.imwrite(str(folder / f"{number}.png"), image)
    return root


def flags(images, workdir, **fields):
    fields = {**FIELDS, "data_dir": images, "workdir": workdir, **fields}
    return [f"--{name}={value}" for name, value in fields.items()]


def start(cluster, index, *arguments, module="binaries.train"):
    config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
    return programs.start(
        "-m", module, *arguments, cwd=".", TF_CONFIG=json.dumps(config)
    )


def start_workers(images, workdir, number, each=(), late=None):
    """Returns the processes; `each` has fields of single workers."""
    cluster = {"worker": free_addresses(number)}
    return [
        start(
            cluster,
            index,
            *flags(images, workdir, **(each[index] if each else {})),
            module="tests.binaries.late" if index == late else "binaries.train",
        )
        for index in range(number)
    ]


def finish(processes):
    """Returns exit statuses, and what all have written."""
    texts = [process.communicate(timeout=300) for process in processes]
    return [process.returncode for process in processes], texts


def wait_for(path, processes):
    while not path.exists():
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.005)


def last_values(workdir):
    saved = checkpoints.restore_latest(workdir / "checkpoints")
    assert (saved.epoch, saved.step) == (EPOCHS, 0)
    return saved.values, [row | {"seconds": 0} for row in saved.state["rows"]]


def test_killed_stopped_and_resumed_on_other_numbers_of_workers(
    images, tmp_path_factory
):
    root = tmp_path_factory.mktemp("workers")
    one, two, three = (root / name for name in ("one", "two", "three"))
    fields = {**FIELDS, "data_dir": str(images)}
    advance(one, **fields)
    values, rows = last_values(one)

    workers = start_workers(images, two, 2)
    wait_for(two / "checkpoints" / "epoch_00001.npz", workers)
    workers[1].terminate()  # one hears it, all stop together
    statuses, texts = finish(workers)
    assert statuses == [143, 143], texts
    assert "the same command goes on from there" in texts[0][0]
    assert ["2 x CPU" in out for out, _ in texts] == [True, False]  # the chief says it
    shutil.copytree(two, three)

    advance(two, **fields)
    resumed, resumed_rows = last_values(two)
    assert resumed_rows == rows
    assert resumed.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)

    workers = start_workers(images, three, 3)
    wait_for(three / "checkpoints" / "epoch_00003.npz", workers)
    workers[2].kill()
    statuses, texts = finish(workers)
    assert statuses == [1, 1, -signal.SIGKILL], texts
    assert re.search(r"error: worker \d \(127\.0\.0\.1:\d+\) ended; start", texts[0][1])
    advance(three, **fields)
    resumed, resumed_rows = last_values(three)
    # Three parts of a batch are added in another order than two.
    for name, value in values.items():
        np.testing.assert_allclose(resumed[name], value, atol=1e-4, err_msg=name)
    for mine, theirs in zip(resumed_rows, rows, strict=True):
        assert mine["test_loss"] == pytest.approx(theirs["test_loss"], abs=1e-3)


def test_another_configuration_is_refused_by_name(images, tmp_path):
    workers = start_workers(images, tmp_path / "run", 2, ({}, {"prune": 0.6}))
    statuses, texts = finish(workers)
    assert statuses == [1, 1], texts
    for _, err in texts:
        assert "All workers must run the same, but `prune` differs." in err
        assert "worker_0=0.5, worker_1=0.6" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("late", [0, 1])
def test_whoever_is_late_everywhere_the_run_is_done(images, tmp_path, late):
    workers = start_workers(images, tmp_path, 2, [{"epochs": 1}] * 2, late)
    statuses, texts = finish(workers)
    assert statuses == [0, 0], texts
    assert (tmp_path / "summary.json").exists()


def test_who_waits_alone_says_for_whom_and_ends(tmp_path):
    """In the role of each, by each signal, and after the time of the flag."""
    workers, arguments = [], [f"--workdir={tmp_path / 'run'}"]
    for index, number in (0, signal.SIGTERM), (1, signal.SIGINT), (1, None):
        cluster = {"worker": free_addresses(2)}
        limit = [] if number else ["--wait_seconds=6"]
        workers.append((start(cluster, index, *arguments, *limit), number))
    for worker, number in workers:
        line = next(line for line in worker.stderr if " waits for " in line)
        assert re.fullmatch(
            r"worker \d \(127\.0\.0\.1:\d+\) waits for worker \d \(127\.0\.0\.1:\d+\) "
            r"since \d\d:\d\d:\d\d, at most \d+ s\n",
            line,
        )
        if number:
            worker.send_signal(number)
    (first, second, third), texts = finish([worker for worker, _ in workers])
    assert (first, second, third) == (143, 130, 1), texts
    assert texts[0][1].endswith("interrupted SIGTERM\n")
    assert texts[1][1].endswith("interrupted SIGINT\n")
    assert re.search(r"error: worker 1 .* gave up after 6 s.*--wait_sec", texts[2][1])
    assert not (tmp_path / "run").exists()
