"""The time of classifying with an exported SavedModel, and with plain Keras.

    python -m benchmarks.inference --output=inference.json
    python -m benchmarks.inference --quick

`SavedModel` is the export of a masked network, from uint8 images to logits and
probabilities. `Keras` is the folded network, called in a `tf.function` with already
normalised images, so it does less. The two hold the same weights and are timed in turn;
medians are printed. `predict` is the folded network's `predict`, timed separately: in
turn with the others it would leave Keras' weights in the caches.

The second table has the product of one image's activations with the kernel of Conv2's
first dense layer, 16,384 × 256, stored without the removed weights: as indices and
values for `sparse_dense_matmul`, and for sums of gathered activations. Its numbers are
speeds relative to the dense product; below 1 they are slower.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import tfsupermask
from benchmarks import _measure
from tfsupermask import models
from tfsupermask.export import export_model

MODELS = ("conv2", "conv4", "conv6", "resnet18")
BATCHES = (1, 256)
SPARSITIES = (0.5, 0.9, 0.95, 0.99)
KERNEL = (16_384, 256)
MEAN, STD = [0.5] * 3, [0.25] * 3


def classifiers(name, folder):
    """Returns kind → function that classifies a batch of uint8 images."""
    model = models.build(name, sparsity=0.5)
    path = export_model(model, Path(folder, name), MEAN, STD)
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    plain = tfsupermask.fold(model)
    call = tf.function(functools.partial(plain, training=False))

    def saved_model(images, _):
        return serve(images=images)["logits"].numpy()

    def keras_call(_, normalised):
        return call(normalised).numpy()

    def predict(_, normalised):
        return plain.predict(normalised, batch_size=len(normalised), verbose=0)

    saved_model.loaded = loaded  # without it the signature would lose its variables
    return {"SavedModel": saved_model, "Keras": keras_call, "predict": predict}


def measure(name, batch, rounds):
    """Returns kind → median seconds a batch."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, 32, 32, 3), dtype=np.uint8)
    normalised = ((images / 255 - MEAN) / STD).astype(np.float32)
    inputs = (tf.constant(images), tf.constant(normalised))
    with tempfile.TemporaryDirectory() as folder:
        calls = classifiers(name, folder)
    outputs = {kind: call(*inputs) for kind, call in calls.items()}
    for logits in outputs.values():
        np.testing.assert_allclose(logits, outputs["Keras"], rtol=1e-3, atol=1e-4)
    bound = {kind: functools.partial(call, *inputs) for kind, call in calls.items()}
    predict = {"predict": bound.pop("predict")}
    return _measure.medians(bound, rounds) | _measure.medians(predict, min(rounds, 31))


def products(batch, sparsity):
    """Returns kind → function that multiplies activations with a pruned kernel."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=KERNEL).astype(np.float32)
    kernel *= rng.random(KERNEL) >= sparsity
    inputs = tf.constant(rng.random((batch, KERNEL[0]), np.float32))
    dense = tf.Variable(kernel)
    sparse = tf.sparse.from_dense(kernel)
    by_output = tf.sparse.from_dense(kernel.T)
    outputs, sources = tf.unstack(tf.cast(by_output.indices, tf.int32), axis=1)

    def of_sparse_matrix():
        return tf.sparse.sparse_dense_matmul(
            sparse, inputs, adjoint_a=True, adjoint_b=True
        )

    def of_gathered():
        gathered = tf.gather(inputs, sources, axis=1) * by_output.values
        return tf.math.segment_sum(tf.transpose(gathered), outputs)

    traced = {
        "dense": tf.function(lambda: tf.matmul(inputs, dense)),
        "sparse_dense_matmul": tf.function(of_sparse_matrix),
        "gather, segment_sum": tf.function(of_gathered),
    }
    return {kind: lambda call=call: call().numpy() for kind, call in traced.items()}


def measure_products(quick):
    """Returns "sparsity, batch" → kind → median seconds."""
    return {
        f"{sparsity:.0%}, {batch}": _measure.medians(
            products(batch, sparsity), 5 if quick or batch > 1 else 201
        )
        for batch in (BATCHES[:1] if quick else BATCHES)
        for sparsity in SPARSITIES
    }


def print_products(results):
    """Prints how much faster the others are than the dense product."""
    kinds = list(next(iter(results.values())))
    _measure.print_table(
        ["sparsity, batch", "dense / ms", *(f"{kind}, speed-up" for kind in kinds[1:])],
        [
            [
                name,
                f"{1000 * times['dense']:.2f}",
                *(f"{times['dense'] / times[kind]:.2f}" for kind in kinds[1:]),
            ]
            for name, times in results.items()
        ],
    )


def print_results(results):
    """Prints the results as a Markdown table."""
    kinds = list(next(iter(results.values())))
    _measure.print_table(
        ["network, batch", *(f"{kind} / ms" for kind in kinds), "SavedModel ÷ Keras"],
        [
            [
                name,
                *(f"{1000 * times[kind]:.3f}" for kind in kinds),
                f"{times['SavedModel'] / times['Keras']:.3f}",
            ]
            for name, times in results.items()
        ],
    )


def draw(results):
    """Returns a figure of the results: times as multiples of plain Keras'."""
    figure = Figure(figsize=(7, 3.5))
    axes = figure.add_subplot()
    ratios = [times["SavedModel"] / times["Keras"] for times in results.values()]
    bars = axes.bar(list(results), ratios, 0.6)
    axes.bar_label(bars, fmt="%.2f", fontsize=8)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_ylabel("time, SavedModel ÷ Keras")
    axes.tick_params(axis="x", rotation=30)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main():
    """Measures, prints the table, writes JSON and the picture if asked to."""
    print(_measure.describe())
    quick = _measure.QUICK.value
    names = MODELS[:3] if quick else MODELS
    results = {}
    for batch in BATCHES:
        rounds = (51 if batch == 1 else 5) if quick else (1001 if batch == 1 else 31)
        for name in names:
            results[f"{name}, {batch}"] = measure(name, batch, rounds)
    print_results(results)
    sparse = measure_products(quick)
    print_products(sparse)
    _measure.save({"results": results, "products": sparse}, draw(results))


if __name__ == "__main__":
    _program.start(main)
