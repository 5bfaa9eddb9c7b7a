"""Memory and time of many images, in memory and read from the disk.

python -m benchmarks.images --photographs=20000
python -m benchmarks.images --photographs=200000 --skip=memory
python -m benchmarks.images --quick

A folder of JPEGs of 160 × 160 pixels in ten classes is made by the program (a hundred
different ones, each many times). For each place, and twice for the disk, a new process
opens a job of a narrow Conv2 and trains its first steps: seconds to the first ones, the
peak of resident memory, and the images a second that come as batches.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import tempfile
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
from absl import flags

from benchmarks import _measure
from binaries import _program

_PHOTOGRAPHS = flags.DEFINE_integer("photographs", 20_000, "Training images.", 1000)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 64, "Side of decoded images.", 8)
_SKIP = flags.DEFINE_list("skip", [], "Places not to measure: memory or disk.")
_DIFFERENT, _CLASSES, _SIDE = 100, 10, 160


def make_folder(root: Path, number: int) -> None:
    """Writes train/<class>/<number>.jpg and a hundredth of it as test/<class>."""
    rng = np.random.default_rng(0)
    for split, count in (("train", number), ("test", number // 100)):
        for label in range(_CLASSES):
            (root / split / str(label)).mkdir(parents=True)
        for index in range(count):
            path = root / split / str(index % _CLASSES) / f"{index}.jpg"
            if index < _DIFFERENT:
                coarse = rng.integers(0, 256, (10, 10, 3), np.uint8)
                image = cv2.resize(
                    coarse, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC
                )
                cv2.imwrite(str(path), image)
            else:
                other = index % _DIFFERENT
                os.link(root / split / str(other % _CLASSES) / f"{other}.jpg", path)


def first_steps(root: str, image_size: int, place: str) -> tuple[float, float, float]:
    """Returns seconds to the first steps, images a second, and peak bytes."""
    start = time.perf_counter()
    from tfsupermask import train
    from tfsupermask.runs import Config

    config = Config(
        dataset="folder",
        data_dir=f"{root}/images",
        image_size=image_size,
        images_in=place,
        cache_dir=f"{root}/cache",
        init="kaiming_normal",
        width=0.1,  # small beside the images
        epochs=1,
        workdir=tempfile.mkdtemp(dir=root),
    )
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(action="ignore"),
        train.Job.open(config) as job,
    ):
        next(job.loop.train_epoch(job.batches, 0))
        seconds = time.perf_counter() - start
        rate = _images_a_second(job.batches)
    return seconds, rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _images_a_second(batches):
    steps = min(10, batches.steps_per_epoch)
    start, images = time.perf_counter(), 0
    for first in range(0, min(100, batches.steps_per_epoch - steps + 1), steps):
        images += batches.chunk(0, first, steps)[1].size
    return images / (time.perf_counter() - start)


def main():
    """Measures, and prints a table."""
    number = 1000 if _measure.QUICK.value else _PHOTOGRAPHS.value
    places = {"memory": "memory", "disk, decoded": "disk", "disk, again": "disk"}
    rows, results = [], {}
    print(_measure.describe())
    with tempfile.TemporaryDirectory() as root:
        make_folder(Path(root, "images"), number)
        for name, place in places.items():
            if place in _SKIP.value:
                continue
            size = _IMAGE_SIZE.value
            found = _measure.in_process(first_steps, root, size, place)
            seconds, rate, peak = results[name] = found
            rows.append([name, f"{seconds:.1f}", f"{rate:,.0f}", f"{peak / 2**30:.2f}"])
            print(*rows[-1], sep="  ", flush=True)
    heads = [f"{number:,} images", "s to the first steps", "images / s", "peak, GiB"]
    _measure.print_table(heads, rows)
    _measure.save({"images": number, "results": results})


if __name__ == "__main__":
    _program.start(main)
