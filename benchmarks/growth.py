"""The time of masking by number of weights, and by sparsity.

    python -m benchmarks.growth --output=growth.json
    python -m benchmarks.growth --quick

`mask` is kernel · mask of one layer, `gradient` its straight-through gradient. For
comparison there are one plain product of kernel and scores in TensorFlow, and three
ways to find the k-th highest score with functions of NumPy and TensorFlow, up to 10⁷
weights.

Whole steps are those of four dense layers of equal width, and of four 3×3 convolutions
of equal width on 8×8 images, up to 10⁷ weights, with batches of 128. A dense layer has
the least work for each weight, 128 products a pass, so that masking counts most there.

All calls take turns; medians are printed. Slopes are those of straight lines through
log(time) against log(weights), from 10⁵ on: 1 is linear growth.
"""

from __future__ import annotations

import math

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import tfsupermask
from benchmarks import _measure
from benchmarks.step import BATCH_SIZE, keras_step
from tfsupermask.layers import SupermaskConv2D, SupermaskDense
from tfsupermask.ops import num_kept
from tfsupermask.ops.masking import masked_kernel

SIZES = (10**4, 10**5, 10**6, 10**7, 10**8)
SPARSITIES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)
LARGEST_REFERENCE = LARGEST_CONVOLUTION = 10**7
LINEAR_FROM = 10**5
SWEPT = 10**6
DEPTH = 4
SIDE = 8  # of the images that the convolutions see
MASKING = ("mask", "gradient")


def masking(size, sparsity):
    """Returns functions that find one layer's masked kernel and its gradient."""
    rng = np.random.default_rng(0)
    kernel, score, upstream = (
        tf.constant(rng.uniform(-1, 1, size).astype(np.float32)) for _ in range(3)
    )
    k = tf.constant(num_kept(size, sparsity))

    @tf.function
    def mask():
        return masked_kernel(kernel, score, k)[0]

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(score)
            masked = masked_kernel(kernel, score, k)
        # The graph omits the forward pass, because nothing needs it.
        return tape.gradient(masked, score, upstream)[0]

    @tf.function
    def product():
        return (kernel * score)[0]

    return {
        "mask": lambda: float(mask()),
        "gradient": lambda: float(gradient()),
        "product": lambda: float(product()),
    }, score.numpy()


def references(score):
    """Returns functions that find the middle score by other means."""
    magnitude = np.abs(score)
    k = score.size // 2
    tensor = tf.constant(magnitude)
    top_k = tf.function(lambda: tf.math.top_k(tensor, k, sorted=False).values[0])
    return {
        "np.partition": lambda: np.partition(magnitude, k),
        "np.sort": lambda: np.sort(magnitude),
        "tf.math.top_k": lambda: float(top_k()),
    }


def dense_layers(size, sparsity):
    """Returns about `size` weights in dense layers."""
    width = round(math.sqrt(size / DEPTH))
    layers = [SupermaskDense(width, sparsity=sparsity) for _ in range(DEPTH)]
    return keras.Sequential([keras.Input((width,)), *layers])


def convolutions(size, sparsity):
    """Returns about `size` weights in convolutions."""
    width = round(math.sqrt(size / DEPTH / 9))
    layers = [
        SupermaskConv2D(width, 3, padding="same", sparsity=sparsity)
        for _ in range(DEPTH)
    ]
    pool = keras.layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input((SIDE, SIDE, width)), *layers, pool])


def steps(build, size, sparsity=0.5):
    """Returns functions that train the masks, or the kernels, of a network."""
    model = build(size, sparsity)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(BATCH_SIZE, *model.input_shape[1:])).astype(np.float32)
    labels = rng.integers(0, model.output_shape[-1], BATCH_SIZE)
    return {
        "dense": keras_step(tfsupermask.fold(model), inputs, labels),
        "masked": keras_step(model, inputs, labels),
    }


def rounds_of(size):
    """Returns the number of rounds: more for small sizes, which are quick and noisy."""
    return {10**8: 7, 10**7: 11}.get(size, 31)


def measure_size(size):
    """Returns what is measured for a number of weights: name → seconds."""
    rounds = rounds_of(size)
    calls, score = masking(size, 0.5)
    if size <= LARGEST_REFERENCE:
        calls |= references(score)
    seconds = _measure.medians(calls, rounds)
    del calls, score  # room for the networks

    def add(kind, build):
        times = _measure.medians(steps(build, size), rounds)
        seconds.update({f"{kind}, {name}": value for name, value in times.items()})

    add("dense layers", dense_layers)
    if size <= LARGEST_CONVOLUTION:
        add("convolutions", convolutions)
    return seconds


def measure_sparsity(size, sparsity):
    """Returns name → seconds for a sparsity."""
    calls, _ = masking(size, sparsity)
    step = {"step": steps(dense_layers, size, sparsity)["masked"]}
    return _measure.medians(calls | step, rounds_of(size))


def slope(sizes, seconds):
    """Returns the exponent of growth: the slope of a straight line in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def slopes(growth):
    """Returns name → exponent of growth from 10⁵ weights on, where there are two."""
    found = {}
    for name in dict.fromkeys(name for row in growth.values() for name in row):
        points = [
            (size, row[name])
            for size, row in growth.items()
            if name in row and size >= LINEAR_FROM
        ]
        if len(points) > 1:
            found[name] = slope(*zip(*points, strict=True))
    return found


def print_growth(growth, found):
    """Prints what is measured by number of weights, in ms, and the slopes."""
    names = list(growth[min(growth)])
    rows = []
    for size, row in growth.items():
        times = [f"{1000 * row[name]:.3f}" if name in row else "–" for name in names]
        ratios = [
            f"{row[f'{kind}, masked'] / row[f'{kind}, dense']:.2f}"
            if f"{kind}, dense" in row
            else "–"
            for kind in ("dense layers", "convolutions")
        ]
        rows.append([f"{size:.0e}", *times, *ratios])
    last = [f"{found[name]:.2f}" if name in found else "–" for name in names]
    rows.append(["slope", *last, "", ""])
    heads = ["weights", *(f"{name} / ms" for name in names)]
    ratios = ["dense layers, masked ÷ dense", "convolutions, masked ÷ dense"]
    _measure.print_table(heads + ratios, rows)


def print_sparsities(swept, size):
    """Prints what is measured by sparsity, in ms."""
    names = list(next(iter(swept.values())))
    _measure.print_table(
        [f"sparsity, {size:.0e} weights", *(f"{name} / ms" for name in names)],
        [
            [f"{sparsity:.0%}", *(f"{1000 * row[name]:.3f}" for name in names)]
            for sparsity, row in swept.items()
        ],
    )


def draw(growth, swept, size):
    """Returns a figure: masking and steps by size, both by sparsity."""
    figure = Figure(figsize=(13, 4))
    by_size, by_step, by_sparsity = figure.subplots(1, 3)
    for name in next(iter(growth.values())):
        rows = {n: row[name] for n, row in growth.items() if name in row}
        axes = by_step if "," in name else by_size
        style = "-" if name in MASKING or name.endswith("masked") else "--"
        axes.loglog(list(rows), list(rows.values()), style, marker=".", label=name)
    for axes, name in ((by_size, "mask"), (by_step, "dense layers, dense")):
        sizes = list(growth)
        through = growth[sizes[-1]][name] / sizes[-1]
        axes.loglog(sizes, [through * n for n in sizes], "k:", label="slope 1")
        axes.set_xlabel("weights")
        axes.set_ylabel("seconds")
    for name in next(iter(swept.values())):
        times = [1000 * row[name] for row in swept.values()]
        by_sparsity.plot(list(swept), times, marker=".", label=name)
    by_sparsity.set_xlabel(f"sparsity, {size:.0e} weights")
    by_sparsity.set_ylabel("ms")
    by_sparsity.set_ylim(bottom=0)
    for axes in (by_size, by_step, by_sparsity):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def main(argv):
    """Measures, prints the tables, writes JSON and the picture if asked to."""
    _program.refuse_arguments(argv)
    print(_measure.describe())
    quick = _measure.QUICK.value
    sizes, swept_size = (SIZES[:3], SWEPT // 10) if quick else (SIZES, SWEPT)
    growth = {size: measure_size(size) for size in sizes}
    found = slopes(growth)
    print_growth(growth, found)
    swept = {each: measure_sparsity(swept_size, each) for each in SPARSITIES}
    print_sparsities(swept, swept_size)
    _measure.save(
        {"growth": growth, "slopes": found, "sparsity": swept, "swept": swept_size},
        draw(growth, swept, swept_size),
    )


if __name__ == "__main__":
    _program.start(main)
