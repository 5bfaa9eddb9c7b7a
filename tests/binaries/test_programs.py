import json
import re
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests import programs
from tests.programs import finish
from tfsupermask import data

FLAGS = ["--epochs=1", "--width=0.5", "--num_patches=2000", "--num_clusters=100"]


def start(program, *arguments, cwd, **environment):
    return programs.start(
        "-m", f"binaries.{program}", *arguments, cwd=cwd, **environment
    )


def call(program, *arguments, cwd):
    return finish(start(program, *arguments, cwd=cwd))


def call_here(program, *arguments, cwd):
    return programs.call_here(f"binaries.{program}", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One epoch of conv2 on digits, by the program, which starts quietly."""
    folder = tmp_path_factory.mktemp("programs")
    code, out, err = call("train", *FLAGS, "--workdir=run", cwd=folder)
    assert (code, err) == (0, "")
    assert "epoch 1/1" in out
    return folder / "run"


@pytest.fixture(scope="module")
def summary(run):
    return json.loads((run / "summary.json").read_text())


def test_the_summary_holds_the_command(summary):
    expected = " ".join(["python -m binaries.train", *FLAGS, "--workdir=run"])
    assert summary["command"] == expected


@pytest.mark.parametrize(
    ("program", "arguments", "received"),
    [
        ("train", ["--prune=1.5"], "prune=1.5"),
        ("train", ["--epoch=3"], "epoch"),
        ("train", ["conv6"], "conv6"),
        ("train", ["--init=glorot_normal", "--num_patches=5"], "num_patches=5"),
        ("predict", ["--path={run}", "{run}/config.json"], "config.json"),
    ],
)
def test_bad_flags_end_with_one_sentence(run, tmp_path, program, arguments, received):
    arguments = [argument.format(run=run) for argument in arguments]
    way = call_here if program == "predict" else call
    code, out, err = way(program, *arguments, cwd=tmp_path)
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert received in line


HELP = f"{sys.executable} -m binaries.train --help"
PREDICT = f"{sys.executable} -m binaries.predict"
WORKER = f"{sys.executable} -m binaries.tf_config --hosts=a --index=0"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (HELP, 0, "(default: 100 with cifar10,"),
        (f"PYTHONIOENCODING=ascii {HELP}", 0, r"\u221a(1 - prune)"),
        (f"{HELP} | head -1", 0, "Finds a supermask"),
        (f"{HELP} >/dev/full", 1, "error: [Errno 28] No space left on device"),
        (f"{WORKER} <&- 2>&-", 0, '"a:2301"'),
        (f"{WORKER} <&- >&- 2>&-", 0, ""),
        (f"{WORKER} >/dev/full", 1, "'standard output'"),
        (f"HOME=/my/home {PREDICT} --path=~/run a.png", 1, "Received: /my/home/run"),
        (HELP.replace("help", "version"), 0, "tfsupermask "),
        (HELP.replace("help", "noresume=true"), 1, "error: --noresume=true"),
        (HELP.replace("help", r"workdir=$'\xff'"), 1, r"workdir=\udcff"),
        (f"{HELP} --workdir=写真　二〇", 0, "Finds a supermask"),
        (f"{PREDICT} --path=写真　می\u200cخواهم a.png", 1, "می\u200cخواهم"),
    ],
)
def test_starts_on_any_terminal(tmp_path, line, code, said):
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    written = (done.stdout, done.stderr)
    assert done.returncode == code, written
    assert said in written[code]
    assert not written[1 - code]


@pytest.mark.parametrize(
    "name", ["train", "evaluate", "predict", "export", "report", "reproduce"]
)
def test_flags_need_no_tensorflow(tmp_path, name):
    said = programs.call("-X", "importtime", "-m", f"binaries.{name}", "--help",
        cwd=tmp_path)[2]  # fmt: skip
    imported = {line.split("|")[-1].strip() for line in said.splitlines()}
    assert "absl.flags" in imported
    assert not imported & {"tensorflow", "keras", "sklearn", "matplotlib"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_load_ends_in_one_line(tmp_path, number):
    process = start("train", cwd=tmp_path)
    assert process.stderr.readline() == "loading TensorFlow\n"
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out) == (128 + number, "")
    assert err == f"interrupted {signal.Signals(number).name}\n"
    assert not list(tmp_path.iterdir())


def test_a_reader_that_leaves_does_not_end_a_training(tmp_path):
    flags = "--init=kaiming_normal --width=0.05 --limit_images=100 --workdir=run"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{HELP.replace('--help', flags)} --epochs=1 "
            "| head -1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "loading TensorFlow\n")
    assert (tmp_path / "run" / "summary.json").exists()


def test_a_full_disk_leaves_no_half_export(run, tmp_path):
    export = f"{HELP.replace('train --help', 'export')} --path={run} --output=model"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 100; {export}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == ["error: [Errno 27] File too large: 'model'"]
    assert not list(tmp_path.iterdir())


def evaluated(summary, *flags, cwd):
    code, out, err = call_here("evaluate", *flags, cwd=cwd)
    assert code == 0, err
    top1, top5 = re.search(r"top-1 ([\d.]+), top-5 ([\d.]+)", out).groups()
    expected = summary["test_top1"], summary["test_top5"]
    return [top1, top5] == [f"{value:.4f}" for value in expected]


def test_evaluate_prints_the_runs_accuracy_and_that_of_an_export(run, summary):
    assert evaluated(summary, f"--path={run}", cwd=run.parent)
    flags = f"--path={run}", "--output=model"
    code, _, err = call_here("export", *flags, cwd=run.parent)
    assert code == 0, err
    flags = "--path=model", "--dataset=digits"
    assert evaluated(summary, *flags, cwd=run.parent)
    _write_digits(run.parent / "images")
    flags = "--dataset=folder", "--data_dir=images", "--test_fraction=0.5"
    said = [call_here("evaluate", f"--path={path}", *flags, cwd=run.parent)
        for path in (run, "model")]  # fmt: skip
    assert said[0] == said[1]
    assert said[0][0] == 0
    assert said[0][1].startswith("folder, 10 test images: top-1 ")


def _write_digits(folder):
    test = data.load("digits").test
    for label in range(10):
        for number, image in enumerate(test.images[test.labels == label][:2]):
            path = folder / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def test_predict_names_the_classes_of_image_files(run):
    test = data.load("digits").test
    files = []
    for index in range(30):
        files.append(run.parent / f"bild ä {index}.png")
        _, encoded = cv2.imencode(".png", test.images[index][..., ::-1])
        files[-1].write_bytes(encoded.tobytes())
    flags = f"--path={run}", "--top=2"
    code, out, err = call_here("predict", *flags, *files, cwd=run.parent)
    assert code == 0, err
    lines = out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(file) for file in files]
    best = [line.split(": ")[1].split()[0] for line in lines]
    right = np.mean([name == str(test.labels[i]) for i, name in enumerate(best)])
    assert right > 0.3
    begun = shutil.copytree(run, run.parent / "begun")
    for missing in (begun / "saved_model", begun / "pictures"):
        shutil.rmtree(missing)
    (begun / "summary.json").unlink()
    flags = f"--path={begun}", "--top=2"
    assert call_here("predict", *flags, *files, cwd=run.parent) == (0, out, "")


PREDICT_BY_NOTHING = """
import sys
import numpy as np
from absl import flags
from binaries import predict

class Classifier:
    image_shape, class_names = (8, 8, 3), ("a", "b")

    def probabilities(self, images):
        print(len(images), file=sys.stderr)
        return np.tile([0.25, 0.75], (len(images), 1))

predict._classifier = lambda path: Classifier()
predict._program.existing = predict._program.load_tensorflow = lambda *path: None
flags.FLAGS(["predict", "--path=any"])
predict.main(sys.argv[1:])
"""


def test_predict_holds_few_images_at_a_time_and_names_cannot_command(tmp_path):
    path = tmp_path / "a  \x1b[2J\n.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    files = [path] * 150
    code, out, err = finish(
        programs.start("-c", PREDICT_BY_NOTHING, *files, cwd=tmp_path)
    )
    assert (code, err.split()) == (0, ["64", "64", "22"])
    line = f"{tmp_path}/a  \\x1b[2J\\n.png: b 0.7500, a 0.2500"
    assert out.splitlines() == [line] * 150


@pytest.mark.parametrize("shape", ["(8, 8, 1)", "(8, 16, 3)", "(None, None, 3)"])
def test_predict_refuses_a_model_of_other_images(tmp_path, shape):
    code = PREDICT_BY_NOTHING.replace("(8, 8, 3)", shape)
    status, out, err = finish(programs.start("-c", code, "a.png", cwd=tmp_path))
    assert (status, out) == (1, "")
    last = err.splitlines()[-1]
    assert "InputError: The model must take square images" in last
    assert last.endswith(f"image_shape={shape}")


def test_predict_goes_on_after_bad_files(run, tmp_path):
    image = data.load("digits").test.images[0]
    files = []
    for name, pixels in (("grey.png", image[..., 0]), ("16.webp", image)):
        files.append(tmp_path / name)
        files[-1].write_bytes(cv2.imencode(files[-1].suffix, pixels)[1].tobytes())
    (tmp_path / "text.png").write_text("no image")
    files[1:1] = [tmp_path / "text.png", tmp_path / "none.jpg"]
    code, out, err = call("predict", f"--path={run}", *files, cwd=run.parent)
    assert code == 1
    good, bad = out.splitlines(), err.splitlines()
    assert [line.split(": ")[0] for line in good] == [str(files[0]), str(files[3])]
    for line, name in zip(bad, ("text.png", "none.jpg"), strict=True):
        assert line.startswith(f"error: {str(tmp_path / name)!r} cannot be read: ")
