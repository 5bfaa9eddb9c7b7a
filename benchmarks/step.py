"""Time of a training step: masked, dense, and masked as published for PyTorch.

    python -m benchmarks.step --output=step.json
    python -m benchmarks.step --quick

The masked step trains the scores of Conv2, Conv4 and Conv6; the dense step trains the
kernels of the same network. `TensorFlow's ops` finds the masks without the C++ ops, as
on a GPU. PyTorch's step, run where torch is installed, is the published algorithm of
Ramanujan et al. (2020): it sorts all scores of a layer in every step. The steps are
timed in turn, so that whatever else the machine does falls on all alike; medians are
printed, and the ratios of medians.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import time
from pathlib import Path
from unittest import mock

from binaries import _program  # before TensorFlow, which it silences

# isort: split
import keras
import numpy as np
import tensorflow as tf
from absl import flags

import tfsupermask
from tfsupermask import models
from tfsupermask.ops import native
from tfsupermask.train.optimizer import SGDWithL2

_QUICK = flags.DEFINE_boolean("quick", False, "Conv2 alone, 5 rounds.")
_PRUNE = flags.DEFINE_float("prune", 0.5, "Fraction of the weights removed.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

MODELS = ("conv2", "conv4", "conv6")
ROUNDS = 31
BATCH_SIZE = 128
RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4


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


def measure(name, rounds):
    """Returns the median milliseconds of each kind of step of a network."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH_SIZE, 32, 32, 3)).astype(np.float32)
    labels = rng.integers(0, 10, BATCH_SIZE)

    def build():
        return models.build(name, sparsity=_PRUNE.value)

    steps = {
        "dense": keras_step(tfsupermask.fold(build()), images, labels),
        "masked": keras_step(build(), images, labels),
    }
    with mock.patch.object(native, "usable", return_value=False):
        steps["TensorFlow's ops"] = keras_step(build(), images, labels)
        steps["TensorFlow's ops"]()  # traced here
    if importlib.util.find_spec("torch"):
        steps["PyTorch"] = torch_step(build(), images, labels)
    times = {kind: [] for kind in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for kind, step in steps.items():
            start = time.perf_counter()
            step()
            times[kind].append(1000 * (time.perf_counter() - start))
    return {kind: statistics.median(values) for kind, values in times.items()}


def table(results):
    """Returns the results as a Markdown table."""
    kinds = list(next(iter(results.values())))
    heads = [*(f"{kind} / ms" for kind in kinds), *(f"{k} ÷ dense" for k in kinds[1:])]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    for name, times in results.items():
        cells = [f"{times[kind]:.1f}" for kind in kinds]
        cells += [f"{times[kind] / times['dense']:.2f}" for kind in kinds[1:]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv):
    """Measures, prints the table, writes JSON if asked to."""
    _program.refuse_arguments(argv)
    names, rounds = (MODELS[:1], 5) if _QUICK.value else (MODELS, ROUNDS)
    results = {name: measure(name, rounds) for name in names}
    print(
        f"batch {BATCH_SIZE}, {os.cpu_count()} cores, {rounds} rounds, "
        f"TensorFlow {tf.__version__}\n\n{table(results)}"
    )
    if _OUTPUT.value:
        Path(_OUTPUT.value).write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    _program.start(main)
