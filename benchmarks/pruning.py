"""A small network and MobileNetV2, dense and pruned while they are trained.

    python -m benchmarks.pruning --data_dir=~/tensorflow_datasets
    python -m benchmarks.pruning --quick

The pruned network is trained like the dense one, from the same weights and in as many
epochs. Both are exported to LiteRT. Accuracy is that of the files on test images, and
zeros are counted in the files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import keras
import numpy as np
from absl import flags
from ai_edge_litert.interpreter import Interpreter

import tfsupermask
from benchmarks import _measure
from tfsupermask import data
from tfsupermask.export import export_model
from tfsupermask.export.sizes import compressed_bytes, file_bytes

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of CIFAR-10.")
_IMAGES = flags.DEFINE_integer("limit_images", 10_000, "Training images.", 10)
_EPOCHS = flags.DEFINE_integer("epochs", 5, "Epochs of each training.", 2)
_SPARSITY = flags.DEFINE_float("prune", 0.8, "Fraction of the weights removed.", 0, 1)
_BATCH_SIZE = 64


def small_network(shape, classes):
    """Returns two convolutions and two dense layers."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def mobilenet(shape, classes):
    """Returns MobileNetV2 from random weights."""
    network = keras.applications.MobileNetV2(shape, weights=None, classes=classes)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # its 0.999 needs more than these few steps
    scale = keras.layers.Rescaling(1 / 127.5, offset=-1)
    return keras.Sequential([keras.Input(shape), scale, network])


def prune(model, skip):
    """Returns a model whose weights are pruned by the callbacks returned with it."""
    model = tfsupermask.convert(
        model, sparsity=0.0, method="magnitude", skip=skip, verbose=False
    )
    ramp = tfsupermask.SparsityRamp(
        final=_SPARSITY.value, end_epoch=0.6 * _EPOCHS.value
    )
    return model, [tfsupermask.SparsitySchedule(ramp, every="batch")]


def trained(model, train, callbacks=()):
    """Trains a model; the learning rate falls to 0."""
    steps = _EPOCHS.value * -(-len(train) // _BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(
        train.images,
        train.labels,
        _BATCH_SIZE,
        _EPOCHS.value,
        verbose=0,
        callbacks=list(callbacks),
    )
    return model


def file_results(path, test):
    """Returns the accuracy of a LiteRT file, and its fraction of zeros."""
    interpreter = Interpreter(str(path))
    weights = [
        interpreter.get_tensor(detail["index"])
        for detail in _constants(interpreter)
        if len(detail["shape"]) >= 2
    ]
    size = sum(weight.size for weight in weights)
    zeros = sum(int(np.sum(weight == 0)) for weight in weights)
    classify = interpreter.get_signature_runner()
    (name,) = classify.get_input_details()
    right = 0
    for first in range(0, len(test), 100):
        images = np.float32(test.images[first : first + 100])
        (scores,) = classify(**{name: images}).values()
        right += int((scores.argmax(1) == test.labels[first : first + 100]).sum())
    return right / len(test), zeros / size


def _constants(interpreter):
    """Yields the details of the weights: tensors that are there before any input is."""
    for detail in interpreter.get_tensor_details():
        try:
            interpreter.get_tensor(detail["index"])
        except ValueError:
            continue
        yield detail


def main():
    """Trains, exports, and prints a table."""
    quick = _measure.QUICK.value
    dataset = data.load("digits" if quick else "cifar10", _DATA_DIR.value)
    if len(dataset.train) > _IMAGES.value:
        dataset = data.limit(dataset, _IMAGES.value)
    rows = []
    networks = [(small_network, ())]
    if not quick:
        networks.append((mobilenet, "*depthwise*"))
    for build, skip in networks:
        for kind in ("dense", "pruned"):
            keras.utils.set_random_seed(0)
            model, callbacks = build(dataset.image_shape, dataset.num_classes), ()
            if kind == "pruned":
                model, callbacks = prune(model, skip)
            plain = tfsupermask.fold(trained(model, dataset.train, callbacks))
            with tempfile.TemporaryDirectory() as folder:
                path = export_model(plain, Path(folder) / "model.tflite")
                accuracy, zeros = file_results(path, dataset.test)
                sizes = file_bytes(path), compressed_bytes(path)
            numbers = (f"{100 * accuracy:.1f} %", f"{100 * zeros:.1f} %")
            texts = [*numbers, *map("{:,}".format, sizes)]
            rows.append([f"{build.__name__}, {kind}", *texts])
            print(*rows[-1], sep="  ", flush=True)
    _measure.print_table(["network", "accuracy", "zeros", "bytes", "compressed"], rows)


if __name__ == "__main__":
    _program.start(main)
