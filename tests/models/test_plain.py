"""Conv2 to Conv8 and AlexNet: convolutions, poolings, fully connected layers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import models
from tfsupermask.layers import supermask_layers

CONVOLUTIONS = [
    9 * a * b for a, b in itertools.pairwise([3, 64, 64, 128, 128, 256, 256, 512, 512])
]
WEIGHTS = {
    "conv2": (CONVOLUTIONS[:2], [16 * 16 * 64 * 256, 256 * 256, 256 * 10]),
    "conv4": (CONVOLUTIONS[:4], [8 * 8 * 128 * 256, 256 * 256, 256 * 10]),
    "conv6": (CONVOLUTIONS[:6], [4 * 4 * 256 * 256, 256 * 256, 256 * 10]),
    "conv8": (CONVOLUTIONS, [2 * 2 * 512 * 256, 256 * 256, 256 * 10]),
    "alexnet": (
        [9 * a * b for a, b in itertools.pairwise([3, 64, 192, 384, 256, 256])],
        [1024 * 1024, 1024 * 1024, 1024 * 10],
    ),
}
TOTALS = {
    ("conv2", 32, 100): 4_324_032,
    ("conv6", 32, 100): 2_284_224,
    # 4,683,456 in the convolutions, 524,288 + 65,536 + 2,560 behind them.
    ("conv8", 32, 10): 5_275_840,
    ("alexnet", 64, 200): 7_698_112,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_each_layer(name):
    model = models.build(name)
    layers = supermask_layers(model)
    convolutions, dense = WEIGHTS[name]
    expected = [(f"conv{i}", n) for i, n in enumerate(convolutions, start=1)]
    expected += [(f"dense{i}", n) for i, n in enumerate(dense, start=1)]
    assert [(layer.name, layer.num_weights) for layer in layers] == expected
    assert model.input_shape == (None, 32, 32, 3)
    activations = [layer.activation.__name__ for layer in layers]
    assert activations == ["relu"] * (len(layers) - 1) + ["linear"]


@pytest.mark.parametrize(("name", "side", "num_classes"), TOTALS)
def test_trains_exactly_one_score_for_every_weight(name, side, num_classes):
    model = models.build(name, (side, side, 3), num_classes)
    total = TOTALS[name, side, num_classes]
    trainable, frozen = model.trainable_weights, model.non_trainable_weights
    assert sum(np.prod(weight.shape) for weight in trainable) == total
    kernels = [weight for weight in frozen if weight.name != "num_kept"]
    assert sum(np.prod(weight.shape) for weight in kernels) == total
    assert {weight.name for weight in trainable} == {"score"}
    assert {weight.name for weight in kernels} == {"kernel"}


@pytest.mark.parametrize(
    ("name", "order", "sizes"),
    [
        (
            "conv4",
            "conv1 conv2 pool1 conv3 conv4 pool2 flatten",
            {"conv2": (32, 32, 64), "pool1": (16, 16, 64), "pool2": (8, 8, 128)},
        ),
        (
            "conv8",
            "conv1 conv2 pool1 conv3 conv4 pool2 conv5 conv6 pool3 conv7 conv8 pool4 "
            "flatten",
            {"conv6": (8, 8, 256), "conv8": (4, 4, 512), "pool4": (2, 2, 512)},
        ),
        (
            "alexnet",
            "conv1 pool1 conv2 pool2 conv3 conv4 conv5 pool5 flatten",
            {"conv1": (16, 16, 64), "conv2": (8, 8, 192), "conv5": (4, 4, 256)},
        ),
    ],
)
def test_order_and_sizes_along_the_network(name, order, sizes):
    model = models.build(name)
    expected = ["image", *order.split(), "dense1", "dense2", "dense3"]
    assert [layer.name for layer in model.layers] == expected
    for layer_name, size in sizes.items():
        assert model.get_layer(layer_name).output.shape[1:] == size


def test_logits_by_naive_layers():
    model = models.build("conv2", (8, 8, 3), 3, sparsity=0.3, seed=4)
    x = images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    conv1, conv2, *dense = supermask_layers(model)
    for layer in (conv1, conv2):
        x = tf.nn.relu(tf.nn.conv2d(x, layer.kernel * layer.mask, 1, "SAME"))
    x = tf.reshape(tf.nn.max_pool2d(x, 2, 2, "VALID"), (2, -1))
    for layer in dense[:-1]:
        x = tf.nn.relu(x @ (layer.kernel * layer.mask))
    x = x @ (dense[-1].kernel * dense[-1].mask)
    np.testing.assert_allclose(model(images), x, rtol=1e-5, atol=1e-5)
