"""The speed of the patch search (boxes, positions, patches), and of NumPy's.

    python -m benchmarks.patches --data_dir=… --output=patches.json
    python -m benchmarks.patches --quick

There are three tables. The first has box filter, sampling and gathering together, for
50 patches of 3×3 from each image. `NumPy` does the same for all images at once;
scikit-learn's `extract_patches_2d` does less: it draws from the whole image, without
boxes. The second has only gathering, from maps such as the inputs of Conv6's
convolutions, and a copy of the same number of bytes on the same number of threads into
allocated memory. The third has OpenCV's selective search over many images. All calls
take turns; medians are printed.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import cv2
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from sklearn.feature_extraction.image import extract_patches_2d

from benchmarks import _measure
from tfsupermask import _core, data, patches
from tfsupermask.patches.proposals import propose_boxes

_DATASET = flags.DEFINE_enum("dataset", "cifar10", data.NAMES, "Images.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where they are.")

THREADS = (1, 2, 4)
SAMPLES = patches.SAMPLES_PER_IMAGE
# Height, width and channels, kind, images
MAPS = [
    ((32, 32, 3), np.uint8, 1000),
    ((32, 32, 3), np.float32, 1000),
    ((32, 32, 64), np.float32, 200),
    ((16, 16, 64), np.float32, 400),
    ((16, 16, 128), np.float32, 200),
    ((8, 8, 128), np.float32, 400),
    ((8, 8, 256), np.float32, 200),
]


def ours(images, proposals, threads):
    """Cuts 50 patches from each image with the library's own functions."""
    height, width = images.shape[1:3]
    boxes, offsets = _core.filter_boxes(
        *proposals, height, width, min_height=3, min_width=3, num_threads=threads
    )
    positions, position_offsets = _core.candidate_positions(
        boxes, offsets, height, width, 3, 3, num_threads=threads
    )
    drawn, image = _core.sample_positions(
        position_offsets, SAMPLES, 0, num_threads=threads
    )
    chosen = positions.take(drawn, axis=0)
    return _core.gather_patches(
        images, image, chosen[:, 0], chosen[:, 1], 3, 3, num_threads=threads
    )


def with_numpy(images, proposals):
    """Cuts 50 patches from each image, all images at once, with NumPy alone."""
    number, height, width = images.shape[:3]
    boxes, offsets = proposals
    image = np.repeat(np.arange(number), np.diff(offsets))
    top, left, tall, wide = boxes.T
    bottom, right = np.minimum(top + tall, height), np.minimum(left + wide, width)
    top, left = np.maximum(top, 0), np.maximum(left, 0)
    tall, wide = bottom - top, right - left
    kept = (tall >= 3) & (wide >= 3) & (tall * wide <= 0.5 * height * width)
    image, top, left, bottom, right = (
        values[kept] for values in (image, top, left, bottom - 2, right - 2)
    )
    changes = np.zeros((number, height - 1, width - 1), np.int32)
    for row, column, sign in (
        (top, left, 1),
        (top, right, -1),
        (bottom, left, -1),
        (bottom, right, 1),
    ):
        np.add.at(changes, (image, row, column), sign)
    inside = changes.cumsum(axis=1).cumsum(axis=2)[:, :-1, :-1] > 0
    inside |= ~inside.any(axis=(1, 2), keepdims=True)
    keys = np.random.default_rng(0).random(inside.shape, np.float32)
    keys[~inside] = 2
    drawn = keys.reshape(number, -1).argpartition(SAMPLES, axis=1)[:, :SAMPLES]
    row, column = np.divmod(drawn, width - 2)
    steps = np.arange(3)
    return images[
        np.arange(number)[:, None, None, None],
        row[..., None, None] + steps[:, None],
        column[..., None, None] + steps,
    ]


def with_sklearn(images):
    """Cuts 50 patches from each image, anywhere in it."""
    return np.concatenate(
        [
            extract_patches_2d(image, (3, 3), max_patches=SAMPLES, random_state=0)
            for image in images
        ]
    )


def measure_search(images, proposals, rounds):
    """Returns the seconds of cutting patches from all images, by method."""
    calls = {
        f"{threads} threads": lambda threads=threads: ours(images, proposals, threads)
        for threads in THREADS
    }
    calls["NumPy"] = lambda: with_numpy(images, proposals)
    calls["scikit-learn"] = lambda: with_sklearn(images)
    return _measure.medians(calls, rounds)


def copier(source, threads):
    """Returns a function that copies an array into another on some threads."""
    source = source.reshape(-1)
    target = np.zeros_like(source)
    ends = np.linspace(0, len(source), threads + 1).astype(int)
    slices = [slice(*pair) for pair in itertools.pairwise(ends)]
    pool = ThreadPoolExecutor(threads)

    def copy():
        if threads == 1:
            np.copyto(target, source)
        else:
            list(pool.map(lambda each: np.copyto(target[each], source[each]), slices))

    return copy


def measure_gather(shape, dtype, num_images, rounds):
    """Returns the bytes of the patches of one layer, and seconds by operation."""
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 256, (num_images, *shape), np.uint8).astype(dtype)
    image = np.repeat(np.arange(num_images), SAMPLES)
    # With `same` padding, as in the layers; boxes are inside the image.
    margin = int(shape[2] > 3)
    row, column = (
        rng.integers(-margin, size - 2 + margin, len(image)).astype(np.int32)
        for size in shape[:2]
    )

    def gather(threads):
        return _core.gather_patches(maps, image, row, column, 3, 3, num_threads=threads)

    calls = {}
    for threads in THREADS:
        calls["gather", threads] = lambda threads=threads: gather(threads)
        calls["copy", threads] = copier(gather(1), threads)
    return gather(1).nbytes, _measure.medians(calls, rounds)


def measure_selective_search(images, rounds):
    """Returns the seconds of searching all images, by number of threads."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pools = {threads: ThreadPoolExecutor(threads) for threads in THREADS}
    calls = {
        threads: lambda pool=pool: list(pool.map(propose_boxes, images))
        for threads, pool in pools.items()
    }
    try:
        return _measure.medians(calls, rounds)
    finally:
        cv2.setNumThreads(before)


def draw(search, gathered, selective):
    """Returns the figure of all three tables."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.6, 1))
    left.barh(list(search), [1e3 * seconds for seconds in search.values()])
    left.invert_yaxis()
    left.set(title="Boxes, samples and patches", xlabel="ms", xscale="log")
    places = np.arange(len(gathered))
    for offset, threads in enumerate(THREADS):
        for what, colour in (("copy", "lightgrey"), ("gather", f"C{offset}")):
            speeds = [size / t[what, threads] / 1e9 for size, t in gathered.values()]
            label = f"{threads} threads" if what == "gather" else None
            wide = 0.25 if what == "copy" else 0.17
            middle.bar(places + 0.27 * offset, speeds, wide, color=colour, label=label)
    middle.set_xticks(places + 0.27, list(gathered), rotation=30, ha="right")
    middle.set(title="Gathering (grey: copying)", ylabel="GB/s")
    middle.legend()
    threads = list(selective)
    right.plot(threads, [selective[1] / selective[n] for n in threads], "o-")
    right.plot(threads, threads, ":", color="grey")
    right.set(title="Selective search", xlabel="threads", ylabel="times as fast")
    return figure


def main():
    """Measures, prints three tables, writes JSON and a picture if asked to."""
    print(_measure.describe())
    quick = _measure.QUICK.value
    rounds = 3 if quick else 15
    name = "digits" if quick else _DATASET.value
    images = data.load(name, _DATA_DIR.value).train.images[: 200 if quick else 1000]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(propose_boxes, images))
    proposals = np.concatenate(found), np.cumsum([0, *map(len, found)])

    search = measure_search(images, proposals, rounds)
    most = f"{THREADS[-1]} threads"
    _measure.print_table(
        [f"{len(images)} images", "ms", f"÷ {most}"],
        [
            [kind, f"{1e3 * seconds:.2f}", f"{seconds / search[most]:.1f}"]
            for kind, seconds in search.items()
        ],
    )
    gathered = {
        f"{'×'.join(map(str, shape))} {np.dtype(dtype).name}": measure_gather(
            shape, dtype, count, rounds
        )
        for shape, dtype, count in MAPS
    }
    heads = [f"{what}, {n} threads" for n in THREADS for what in ("GB/s", "÷ copy")]
    rows = [
        [kind]
        + [
            text
            for n in THREADS
            for text in (
                f"{size / times['gather', n] / 1e9:.1f}",
                f"{times['copy', n] / times['gather', n]:.2f}",
            )
        ]
        for kind, (size, times) in gathered.items()
    ]
    _measure.print_table(["3×3 patches of", *heads], rows)
    selective = measure_selective_search(images[:200], 3)
    _measure.print_table(
        ["selective search", "ms an image", "times as fast"],
        [
            [
                f"{n} threads",
                f"{1e3 * seconds / 200:.2f}",
                f"{selective[1] / seconds:.2f}",
            ]
            for n, seconds in selective.items()
        ],
    )
    results = {
        "search_seconds": search,
        "gather": {
            kind: {
                "bytes": size,
                "seconds": {f"{what} {n}": value for (what, n), value in times.items()},
            }
            for kind, (size, times) in gathered.items()
        },
        "selective_search_seconds": selective,
    }
    _measure.save(results, draw(search, gathered, selective))


if __name__ == "__main__":
    _program.start(main)
