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
MASKS, OTHERS = "tab:blue", "0.4"  # colours: with our masks, without
LAYER_LINES = {
    "mask": (MASKS, "-"),
    "gradient": (MASKS, "--"),
    "np.partition": (OTHERS, "-"),
    "np.sort": (OTHERS, "--"),
    "tf.math.top_k": (OTHERS, ":"),
}


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


def slopes(growth):
    """Returns name → slope in logarithms from 10⁵ weights on, where there are two."""
    found = {}
    for name in dict.fromkeys(name for row in growth.values() for name in row):
        points = [
            (size, row[name])
            for size, row in growth.items()
            if name in row and size >= LINEAR_FROM
        ]
        if len(points) > 1:
            found[name] = float(np.polyfit(*np.log(points).T, 1)[0])
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


def draw(growth):
    """Returns a figure: one layer's times, and steps with masks ÷ steps without."""
    figure = Figure(figsize=(4.2, 6.8), layout="constrained")  # as a phone
    by_time, by_ratio = figure.subplots(2, 1)
    for name, (colour, dashes) in LAYER_LINES.items():
        times = {size: row[name] for size, row in growth.items() if name in row}
        look = {"color": colour, "linestyle": dashes, "marker": ".", "label": name}
        by_time.plot(list(times), list(times.values()), **look)
    by_time.set(yscale="log", ymargin=0.25, ylabel="seconds", title="one layer")
    by_ratio.axhline(1, color=OTHERS, linewidth=1, label="without masks")
    for kind, dashes in (("dense layers", "-"), ("convolutions", "--")):
        rows = {size: row for size, row in growth.items() if f"{kind}, dense" in row}
        ratios = [r[f"{kind}, masked"] / r[f"{kind}, dense"] for r in rows.values()]
        look = {"color": MASKS, "linestyle": dashes, "marker": ".", "label": kind}
        by_ratio.plot(list(rows), ratios, **look)
    by_ratio.set(ylim=(0, 2), ylabel="masked ÷ dense", title="a training step")
    for axes in (by_time, by_ratio):
        axes.set(xscale="log", xlabel="weights")
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main():
    """Measures, prints the tables, writes JSON and the picture if asked to."""
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
        draw(growth),
    )


if __name__ == "__main__":
    _program.start(main)
