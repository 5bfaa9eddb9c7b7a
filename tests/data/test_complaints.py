import concurrent.futures
import errno
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tfsupermask.data.complaints import Listener
from tfsupermask.data.images import UnreadableImageError, decode_square

RNG = np.random.default_rng(0)
WHOLE = cv2.imencode(".jpg", RNG.integers(0, 256, (64, 64, 3), np.uint8))[1]


def damaged():
    bad = WHOLE.copy()
    bad[len(bad) // 2 :][:200] = 7
    return bad


def test_hears_of_damage_and_passes_on_the_rest(capfd):
    level = cv2.utils.logging.getLogLevel()
    with Listener() as listener:
        assert listener.count() == 0
        cv2.imdecode(damaged(), cv2.IMREAD_COLOR)
        os.write(2, b"progress 10 %\n")
        assert listener.count() == 1
        assert capfd.readouterr().err == "progress 10 %\n"
        cv2.imdecode(WHOLE, cv2.IMREAD_COLOR)
        with pytest.raises(cv2.error):
            cv2.imdecode(WHOLE[:0], cv2.IMREAD_COLOR)
        bitmap = cv2.imencode(".bmp", np.zeros((9, 9, 3), np.uint8))[1]
        assert cv2.imdecode(bitmap[:-9], cv2.IMREAD_COLOR) is None  # says why
        os.write(2, b"Corrupt JPEG data: by another\nlast words")
    assert capfd.readouterr().err == "last words"
    assert cv2.utils.logging.getLogLevel() == level
    os.write(2, b"heard by nobody")
    assert capfd.readouterr().err == "heard by nobody"


OTHERS = (
    b"[INFO:trainer] epoch 3 done",
    b"[ WARN:0] of another program",
    b"[WARNING:root@0.1] x",
    b"[12:30:01] [I:3@node] y",
    b"[E:12@] z",
)


def test_lines_of_others_in_brackets_are_passed_on(capfd):
    with Listener() as listener:
        for line in OTHERS:
            os.write(2, line + b"\n")
            cv2.imread("/nonexistent")  # says so
        assert listener.count() == 0
    assert capfd.readouterr().err == "".join(f"{line.decode()}\n" for line in OTHERS)


def test_listens_as_long_as_anyone_does(capfd):
    listener = Listener()
    with listener:
        with listener:
            os.write(2, b"Corrupt JPEG data: one\n")
        os.write(2, b"Corrupt JPEG data: two\n")
        assert listener.count() == 2
    with listener:
        assert listener.count() == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("missing", ["os.dup", "os.dup2", "tempfile.TemporaryFile"])
def test_what_cannot_be_opened_leaves_nothing_open(missing, monkeypatch, capfd):
    def fails(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    before = sorted(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(missing, fails)
        listener = Listener().__enter__()
    os.write(2, b"not held back")
    listener.__exit__()
    assert capfd.readouterr().err == "not held back"
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_blames_the_right_file_in_threads(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(60)]
    for number, path in enumerate(paths):
        (WHOLE if number % 3 else damaged()).tofile(path)

    def is_bad(path):
        try:
            decode_square(path, 8)
        except UnreadableImageError:
            return True
        return False

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(is_bad, paths)) == [n % 3 == 0 for n in range(60)]


@pytest.mark.parametrize("closed", ["2>&-", "2>&- 0<&-"])
def test_without_stderr_images_are_still_read(tmp_path, closed):
    WHOLE.tofile(tmp_path / "a.jpg")
    code = (
        "from tfsupermask.data import decode_image;"
        f"print(decode_image({str(tmp_path / 'a.jpg')!r}, 8).shape)"
    )
    done = subprocess.run(
        f'{sys.executable} -c "$CODE" {closed}',
        shell=True,
        env={**os.environ, "CODE": code},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "(8, 8, 3)\n")
