import json
import os
import re
import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tfsupermask import data
from tfsupermask.runs import checkpoint as checkpoints

FLAGS = ["--epochs=1", "--num_patches=2000", "--num_clusters=100"]


def start(program, *arguments, cwd, **environment):
    inherited = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(
        [sys.executable, "-m", f"binaries.{program}", *map(str, arguments)],
        cwd=cwd,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def call(program, *arguments, cwd):
    return finish(start(program, *arguments, cwd=cwd))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One epoch of conv2 on digits, by the program."""
    folder = tmp_path_factory.mktemp("programs")
    code, out, err = call("train", *FLAGS, "--workdir=run", cwd=folder)
    assert code == 0, err
    assert "epoch 1/1" in out
    return folder / "run"


@pytest.fixture(scope="module")
def summary(run):
    return json.loads((run / "summary.json").read_text())


def test_a_quiet_start(run):
    code, _, err = call("train", *FLAGS, f"--workdir={run}", cwd=run.parent)
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        (["--prune=1.5"], "prune=1.5"),
        (["--model=conv7"], "model='conv7'"),
        (["--epoch=3"], "epoch"),
        (["conv6"], "conv6"),
        (["--init=glorot_normal", "--num_patches=5"], "num_patches=5"),
        (["--num_clusters=10"], "num_clusters=10"),
    ],
)
def test_bad_flags_end_with_one_sentence(tmp_path, arguments, received):
    code, _, err = call("train", *arguments, cwd=tmp_path)
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert received in line


def test_help_lists_the_flags_with_their_meaning(tmp_path):
    _, out, _ = call("train", "--help", cwd=tmp_path)
    for text in ("--prune", "Sparsity", "--init", "kaiming_normal", "binaries.train"):
        assert text in out


@pytest.mark.parametrize("what", ["run", "saved_model"])
def test_evaluate_prints_the_runs_accuracy(run, summary, what):
    flags = [f"--path={run}"]
    if what == "saved_model":
        flags = [f"--path={run / 'saved_model'}", "--dataset=digits"]
    code, out, err = call("evaluate", *flags, cwd=run.parent)
    assert code == 0, err
    top1, top5 = re.search(r"top-1 ([\d.]+), top-5 ([\d.]+)", out).groups()
    assert (top1, top5) == (
        f"{summary['test_top1']:.4f}",
        f"{summary['test_top5']:.4f}",
    )


def test_predict_names_the_classes_of_image_files(run):
    test = data.load("digits").test
    files = []
    for index in range(30):
        files.append(run.parent / f"bild ä {index}.png")
        _, encoded = cv2.imencode(".png", test.images[index][..., ::-1])
        files[-1].write_bytes(encoded.tobytes())
    code, out, err = call("predict", f"--path={run}", "--top=2", *files, cwd=run.parent)
    assert code == 0, err
    lines = out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(file) for file in files]
    best = [line.split(": ")[1].split()[0] for line in lines]
    right = np.mean([name == str(test.labels[i]) for i, name in enumerate(best)])
    assert right > 0.3


def test_predict_refuses_a_file_that_is_no_image(run):
    (run.parent / "notes.txt").write_text("no image")
    code, out, err = call("predict", f"--path={run}", "notes.txt", cwd=run.parent)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "notes.txt" in err


def test_export_writes_another_saved_model(run, summary):
    code, _, err = call("export", f"--path={run}", "--output=model", cwd=run.parent)
    assert code == 0, err
    code, out, err = call(
        "evaluate", "--path=model", "--dataset=digits", cwd=run.parent
    )
    assert code == 0, err
    assert f"top-1 {summary['test_top1']:.4f}" in out


def test_two_worker_processes_give_the_bits_of_one(run):
    def free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    cluster = {"worker": [f"127.0.0.1:{free_port()}" for _ in range(2)]}
    workers = [
        start(
            "train",
            *FLAGS,
            "--workdir=workers",
            cwd=run.parent,
            TF_CONFIG=json.dumps(
                {"cluster": cluster, "task": {"type": "worker", "index": index}}
            ),
        )
        for index in range(2)
    ]
    for (code, out, err), chief in zip(
        map(finish, workers), (True, False), strict=True
    ):
        assert code == 0, err
        assert ("2 x CPU" in out) is chief
    one, two = (
        checkpoints.restore_latest(folder / "checkpoints")
        for folder in (run, run.parent / "workers")
    )
    assert set(one.values) == set(two.values)
    for name, value in one.values.items():
        np.testing.assert_array_equal(value, two.values[name], err_msg=name)
    without_time = [
        {k: v for k, v in saved.state["rows"][0].items() if k != "seconds"}
        for saved in (one, two)
    ]
    assert without_time[0] == without_time[1]
