"""The time of a training step: masked, dense, and masked as published for PyTorch.

    python -m benchmarks.step --output=step.json
    python -m benchmarks.step --quick

The masked step trains the scores of Conv2, Conv4 and Conv6; the dense step trains the
kernels of the same network. `as trained` is the masked step of `binaries.train`: it
normalises the images, counts hits, and works through the batch in the two halves that
two replicas would take. `TensorFlow's ops` finds the masks without the C++ ops, as on a
GPU. PyTorch's step, run where torch is installed, is the published algorithm of
Ramanujan et al. (2020): it sorts all scores of a layer in every step. All are timed in
turn; medians are printed, and the ratios of medians.

`of matmul` compares the dense step with the machine's speed: the products and sums per
second that its convolutions and dense layers need, as a fraction of those of a large
matrix product in the same run.
"""

from __future__ import annotations

import importlib.util
import math
from unittest import mock

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import keras
import numpy as np
import tensorflow as tf
from absl import flags

import tfsupermask
from benchmarks import _measure
from tfsupermask import models
from tfsupermask.data import Dataset, Split
from tfsupermask.ops import native
from tfsupermask.train import Loop, SGDWithL2, make_strategy

_PRUNE = flags.DEFINE_float("prune", 0.5, "Fraction of the weights removed.")

MODELS = ("conv2", "conv4", "conv6")
ROUNDS = 31
BATCH_SIZE = 128
RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4
MATRIX = 2048  # rows and columns


def keras_step(model, images, labels):
    """Returns a function that trains a Keras model by one step."""
    optimizer = SGDWithL2(RATE, MOMENTUM, WEIGHT_DECAY)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, logits, True)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return lambda: float(step())


def trained_step(model, images, labels):
    """Returns a function that trains a model by one step of `binaries.train`."""
    optimizer = SGDWithL2(RATE, MOMENTUM, WEIGHT_DECAY)
    optimizer.build(model.trainable_variables)
    noise = Split(np.uint8(np.clip(128 + 64 * images, 0, 255)), labels)
    dataset = Dataset("noise", noise, noise, tuple("abcdefghij"), False)
    loop = Loop(model, optimizer, make_strategy("single"), dataset, BATCH_SIZE)
    batch = tf.constant(noise.images[None]), tf.constant(labels[None])
    step = tf.function(lambda: loop.train_on_share(*batch, 0)[0])
    return lambda: float(step())


def torch_step(model, images, labels):
    """Returns a function that trains the same network in PyTorch by one step."""
    import torch
    from torch.nn import functional

    class Subnet(torch.autograd.Function):
        @staticmethod
        def forward(context, scores, keep):
            order = scores.flatten().sort().indices
            removed = int((1 - keep) * scores.numel())
            mask = torch.ones_like(scores).flatten()
            mask[order[:removed]] = 0
            return mask.view_as(scores)

        @staticmethod
        def backward(context, gradient):
            return gradient, None

    frozen, scores = [], []
    for weight in tfsupermask.layers.masked_weights(model):
        axes = (3, 2, 0, 1) if len(weight.kernel.shape) == 4 else (1, 0)
        for values, tensors in ((weight.kernel, frozen), (weight.score, scores)):
            array = np.ascontiguousarray(values.numpy().transpose(axes))
            tensors.append(torch.tensor(array, requires_grad=tensors is scores))
    optimizer = torch.optim.SGD(scores, RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)
    x_all = torch.tensor(images.transpose(0, 3, 1, 2).copy())
    targets = torch.tensor(labels)

    def step():
        optimizer.zero_grad()
        x = x_all
        for place, (weight, score) in enumerate(zip(frozen, scores, strict=True)):
            masked = weight * Subnet.apply(score.abs(), 1 - _PRUNE.value)
            if weight.dim() == 4:
                x = functional.relu(functional.conv2d(x, masked, padding=1))
                if place % 2:
                    x = functional.max_pool2d(x, 2)
            else:
                x = functional.linear(x.flatten(1), masked)
                if place < len(frozen) - 1:
                    x = functional.relu(x)
        loss = functional.cross_entropy(x, targets)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def floating_point_operations(model, batch_size):
    """Returns the products and sums of a training step's convolutions and layers."""
    total = 0
    for place, weight in enumerate(tfsupermask.layers.masked_weights(model)):
        positions = math.prod(weight.layer.output.shape[1:-1])
        # Forward and for the kernel's gradient; for the inputs' too but in the first.
        times = 2 if place == 0 else 3
        total += times * 2 * positions * weight.num_weights * batch_size
    return total


def matmul():
    """Returns a function that multiplies two large matrices."""
    left, right = (tf.random.normal((MATRIX, MATRIX)) for _ in range(2))
    product = tf.function(lambda: tf.matmul(left, right)[0, 0])
    return lambda: float(product())


def measure(name, rounds):
    """Returns the median seconds of each kind of step of a network."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH_SIZE, 32, 32, 3)).astype(np.float32)
    labels = rng.integers(0, 10, BATCH_SIZE)

    def build():
        return models.build(name, sparsity=_PRUNE.value)

    steps = {
        "dense": keras_step(tfsupermask.fold(build()), images, labels),
        "masked": keras_step(build(), images, labels),
        "as trained": trained_step(build(), images, labels),
    }
    with mock.patch.object(native, "usable", return_value=False):
        steps["TensorFlow's ops"] = keras_step(build(), images, labels)
        steps["TensorFlow's ops"]()  # traced here
    if importlib.util.find_spec("torch"):
        steps["PyTorch"] = torch_step(build(), images, labels)
    seconds = _measure.medians({**steps, "matmul": matmul()}, rounds)
    wanted = floating_point_operations(build(), BATCH_SIZE) / seconds["dense"]
    speed = 2 * MATRIX**3 / seconds.pop("matmul")
    return {"seconds": seconds, "of_matmul": wanted / speed, "matmul_flops": speed}


def print_results(results):
    """Prints the results as a Markdown table."""
    kinds = list(next(iter(results.values()))["seconds"])
    heads = ["batch 128", *(f"{kind} / ms" for kind in kinds)]
    ratios = [("masked", "dense")]
    ratios += [(kind, "masked") for kind in kinds if kind not in ("dense", "masked")]
    if "PyTorch" in kinds:
        ratios.append(("PyTorch", "as trained"))
    heads += [f"{one} ÷ {other}" for one, other in ratios] + ["of matmul"]
    rows = []
    for name, result in results.items():
        times = result["seconds"]
        cells = [f"{1000 * seconds:.1f}" for seconds in times.values()]
        cells += [f"{times[one] / times[other]:.2f}" for one, other in ratios]
        rows.append([name, *cells, f"{result['of_matmul']:.0%}"])
    _measure.print_table(heads, rows)


def main():
    """Measures, prints the table, writes JSON and the picture if asked to."""
    print(_measure.describe())
    quick = _measure.QUICK.value
    names, rounds = (MODELS[:1], 5) if quick else (MODELS, ROUNDS)
    results = {name: measure(name, rounds) for name in names}
    print_results(results)
    _measure.save(
        {"prune": _PRUNE.value, "batch_size": BATCH_SIZE, "results": results},
        _measure.draw_steps({n: each["seconds"] for n, each in results.items()}),
    )


if __name__ == "__main__":
    _program.start(main)
