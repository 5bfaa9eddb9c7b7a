"""Bytes and latency of Conv6 in every format, by sparsity.

    python -m benchmarks.sizes --output=sizes.json
    python -m benchmarks.sizes --quick

Unstructured sparsity does not make dense formats smaller or faster: they hold the
removed weights as zeros, and the runtimes multiply by them. This measures how much
smaller they are with compression and as tickets, and the information limit of masks.

Latency is measured with one thread in every runtime. The sparsities take turns, so that
other work of the machine affects all equally; medians are printed.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import onnxruntime
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from matplotlib.figure import Figure

from benchmarks import _measure
from tfsupermask import data, models
from tfsupermask.export import export_model
from tfsupermask.export.sizes import (
    compressed_bytes,
    dense_bytes,
    file_bytes,
    mask_bytes,
)
from tfsupermask.layers import masked_weights

SPARSITIES = (0.0, 0.3, 0.5, 0.7, 0.9)
ROUNDS = 31
BATCHES = (1, 32)

# Row of the table, name of the file, precision.
FORMATS = (
    ("SavedModel", "saved_model", "float32"),
    (".keras", "model.keras", "float32"),
    (".onnx", "model.onnx", "float32"),
    (".tflite float32", "float32.tflite", "float32"),
    (".tflite float16", "float16.tflite", "float16"),
    (".tflite int8", "int8.tflite", "int8"),
    (".ticket, kernels from their seed", "seeded.ticket", "float32"),
)
STORED = (
    (".ticket, kept weights stored", "float32.ticket", "float32"),
    (".ticket, kept weights in float16", "float16.ticket", "float16"),
)


def export_all(model, dataset, folder):
    """Exports a model in all formats; returns name of the row → path."""
    images = dataset.train.images[:200]
    paths = {}

    def export(formats):
        for row, name, precision in formats:
            paths[row] = export_model(
                model,
                folder / name,
                dataset.mean,
                dataset.std,
                dataset.class_names,
                precision=precision,
                representative_images=images if precision == "int8" else None,
            )

    export(FORMATS)
    # No longer the seed's kernels, so that they have to be stored.
    for weight in masked_weights(model):
        weight.kernel.assign(-weight.kernel)
    export(STORED)
    return paths


def sizes_of(model, paths):
    """Returns name of the row → bytes."""
    sizes = {"weights, float32": dense_bytes(model)}
    for row, path in paths.items():
        sizes[row] = file_bytes(path)
        if path.suffix != ".ticket":
            sizes[f"{row}, compressed"] = compressed_bytes(path)
    return {**sizes, "masks alone, at the least": mask_bytes(model)}


def single_threaded(path):
    """Returns a function that classifies a batch of images with one thread."""
    if path.suffix == ".tflite":
        runner = Interpreter(str(path), num_threads=1).get_signature_runner()
        return lambda images: runner(images=images)
    if path.suffix == ".onnx":
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options)
        return lambda images: session.run(None, {"images": images})
    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.signatures["serving_default"](
        images=tf.constant(images)
    )["logits"].numpy()


def latencies(paths, images, rounds):
    """Returns row → sparsity → median seconds; `paths` has the same keys."""
    seconds = {}
    for row, each in paths.items():
        classify = {sparsity: single_threaded(path) for sparsity, path in each.items()}
        calls = {
            sparsity: functools.partial(call, images)
            for sparsity, call in classify.items()
        }
        seconds[row] = _measure.medians(calls, rounds)
    return seconds


def print_by_sparsity(title, rows, sparsities, show):
    """Prints row → sparsity → value, with sparsities as columns."""
    _measure.print_table(
        [title, *(f"{sparsity:.0%}" for sparsity in sparsities)],
        [
            [row, *(show(values[sparsity]) for sparsity in sparsities)]
            for row, values in rows.items()
        ],
    )


def draw(sizes):
    """Returns a figure of the bytes by sparsity, a line for each row of the table."""
    figure = Figure(figsize=(8, 4.5))
    axes = figure.add_subplot()
    for row, each in transposed(sizes).items():
        axes.semilogy(list(each), list(each.values()), marker=".", label=row)
    axes.set_xlabel("fraction of the weights removed")
    axes.set_ylabel("bytes")
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def transposed(table):
    """Returns row → column → value of column → row → value."""
    rows = next(iter(table.values()))
    return {row: {column: table[column][row] for column in table} for row in rows}


def main():
    """Measures and prints the tables."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    sparsities = (0.0, 0.5) if _measure.QUICK.value else SPARSITIES
    print(_measure.describe())
    dataset = data.load("digits")
    with tempfile.TemporaryDirectory() as folder:
        sizes, paths = {}, {}
        for sparsity in sparsities:
            model = models.build("conv6", sparsity=sparsity)
            place = Path(folder, str(sparsity))
            paths[sparsity] = export_all(model, dataset, place)
            sizes[sparsity] = sizes_of(model, paths[sparsity])
        print("Conv6, 10 classes, 32×32; columns: fraction of the weights removed")
        print_by_sparsity(
            "kB", transposed(sizes), sparsities, lambda size: f"{size / 1000:,.0f}"
        )
        results = {"bytes": sizes, "seconds": {}}
        runnable = {
            row: each
            for row, each in transposed(paths).items()
            if row != ".keras" and not row.startswith(".ticket")
        }
        rounds = 3 if _measure.QUICK.value else ROUNDS
        for batch in BATCHES:
            images = dataset.test.images[:batch]
            medians = latencies(runnable, images, rounds)
            results["seconds"][batch] = medians
            print_by_sparsity(
                f"ms, batch of {batch}, one thread",
                medians,
                sparsities,
                lambda seconds: f"{1000 * seconds:.2f}",
            )
    _measure.save(results, draw(sizes))


if __name__ == "__main__":
    _program.start(main)
