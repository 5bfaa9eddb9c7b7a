import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import models
from tfsupermask.export import fold
from tfsupermask.layers import SupermaskMixin, supermask_layers

UNITS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
# torchvision's models, for images of 224 pixels and 1000 classes: all parameters, less
# 1000 biases, less a scale and an offset for every channel that is normalised.
WEIGHTS_AT_224 = {
    "resnet18": 11_689_512 - 1000 - 9_600,
    "resnet34": 21_797_672 - 1000 - 17_024,
    "resnet50": 25_557_032 - 1000 - 53_120,
    "resnet101": 44_549_160 - 1000 - 105_344,
}
# On small images the stem has 3x3 instead of 7x7 filters.
STEM_DIFFERENCE = (7 * 7 - 3 * 3) * 3 * 64


# Convolutions larger than 1×1 in each block, the stem's included, and 1×1 in all.
CONVOLUTIONS = {
    "resnet18": ([5, 4, 4, 4], 3),
    "resnet34": ([7, 8, 12, 6], 3),
    "resnet50": ([4, 4, 6, 3], 36),
    "resnet101": ([4, 4, 23, 3], 70),
}


@pytest.mark.parametrize(
    ("name", "side", "num_classes"),
    [
        *[(name, 224, 1000) for name in UNITS],
        ("resnet18", 32, 10),
        ("resnet18", 64, 200),
        ("resnet50", 64, 200),
    ],
)
def test_number_of_convolutions_and_of_weights(name, side, num_classes, monkeypatch):
    zeros = keras.initializers.Zeros.__call__
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)
    model = models.build(name, (side, side, 3), num_classes)
    features = 512 if name in ("resnet18", "resnet34") else 2048
    expected = WEIGHTS_AT_224[name] - (1000 - num_classes) * features
    if side < 224:
        expected -= STEM_DIFFERENCE
    *convolutions, dense = layers = supermask_layers(model)
    assert sum(layer.num_weights for layer in layers) == expected

    larger, pointwise = CONVOLUTIONS[name]
    sizes = [layer.kernel_size for layer in convolutions]
    assert sizes.count((1, 1)) == pointwise
    assert len(sizes) == sum(larger) + pointwise
    assert sizes[0] == ((7, 7) if side == 224 else (3, 3))
    assert set(sizes[1:]) == {(1, 1), (3, 3)}
    assert dense.num_weights == features * num_classes
    assert [len(block) for block in models.convolution_blocks(model)] == larger


@pytest.mark.usefixtures("narrow")
def test_names_of_a_block():
    names = [layer.name for layer in models.build("resnet18", (8, 8, 3)).layers]
    assert names[:4] == ["image", "stem_conv", "stem_bn", "stem_relu"]
    inside = {
        1: "conv1 bn1 relu1 conv2 shortcut bn2 shortcut_bn add relu",
        2: "conv1 bn1 relu1 conv2 bn2 add relu",
    }
    for unit, expected in inside.items():
        prefix = f"block2_unit{unit}_"
        found = [name for name in names if name.startswith(prefix)]
        assert found == [prefix + name for name in expected.split()]
    assert names[-2:] == ["average", "dense"]


@pytest.mark.parametrize(
    ("shape", "stem", "pooled", "last"),
    [
        ((8, 8), (8, 8), None, (1, 1)),
        ((48, 200), (48, 200), None, (6, 25)),
        ((49, 49), (49, 49), (24, 24), (3, 3)),
        ((128, 128), (128, 128), (64, 64), (8, 8)),
        ((129, 129), (65, 65), (33, 33), (5, 5)),
        ((224, 224), (112, 112), (56, 56), (7, 7)),
    ],
)
@pytest.mark.usefixtures("narrow")
def test_sizes_along_the_network(shape, stem, pooled, last):
    model = models.build("resnet18", (*shape, 3))
    outputs = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert outputs["stem_relu"] == (*stem, 4)
    assert outputs.get("stem_pool") == (pooled and (*pooled, 4))
    size = pooled or stem
    for block, width in enumerate((4, 8, 12, 16), start=1):
        if block > 1:
            size = tuple(-(-side // 2) for side in size)
        for unit in (1, 2):
            assert outputs[f"block{block}_unit{unit}_relu"] == (*size, width)
    assert size == last
    assert outputs["average"] == (16,)


@pytest.mark.usefixtures("narrow")
def test_bottlenecks_halve_in_their_3x3_convolution():
    model = models.build("resnet50", (32, 32, 3))
    for block, side, width in ((1, 32, 16), (2, 16, 32), (3, 8, 48), (4, 4, 64)):
        strides = 1 if block == 1 else 2
        expected = {"conv1": 1, "conv2": strides, "conv3": 1, "shortcut": strides}
        for name, stride in expected.items():
            layer = model.get_layer(f"block{block}_unit1_{name}")
            assert layer.strides == (stride, stride)
            assert layer.kernel_size == ((3, 3) if name == "conv2" else (1, 1))
        output = model.get_layer(f"block{block}_unit1_relu").output
        assert output.shape == (None, side, side, width)


def naive_logits(model, images, units, branch):
    """Follows He et al. through a model; `branch` are a unit's convolutions."""

    def convolve(x, name, bn, strides=1):
        layer, bn = model.get_layer(name), model.get_layer(bn)
        x = tf.nn.conv2d(x, layer.kernel * layer.mask, strides, "SAME")
        return (x - bn.moving_mean) / tf.sqrt(bn.moving_variance + 1e-5)

    x = tf.nn.relu(convolve(images, "stem_conv", "stem_bn"))
    for block, count in enumerate(units, start=1):
        for unit in range(1, count + 1):
            prefix, y = f"block{block}_unit{unit}", x
            strides = 2 if block > 1 and unit == 1 else 1
            for index, strided in enumerate(branch, start=1):
                names = (f"{prefix}_conv{index}", f"{prefix}_bn{index}")
                y = convolve(y, *names, strides if strided else 1)
                y = tf.nn.relu(y) if index < len(branch) else y
            if x.shape != y.shape:
                shortcut = f"{prefix}_shortcut"
                x = convolve(x, shortcut, f"{shortcut}_bn", strides)
            x = tf.nn.relu(x + y)
    dense = model.get_layer("dense")
    return tf.reduce_mean(x, (1, 2)) @ (dense.kernel * dense.mask)


@pytest.mark.parametrize(
    ("name", "branch"),
    [("resnet18", (True, False)), ("resnet50", (False, True, False))],
)
@pytest.mark.usefixtures("narrow")
def test_logits_by_naive_layers_and_folded(name, branch):
    generator = np.random.default_rng(0)
    model = models.build(name, (16, 16, 3), sparsity=0.3, seed=1)
    for variable in model.variables:
        if variable.name == "moving_mean":
            variable.assign(generator.normal(0, 0.1, variable.shape))
        if variable.name == "moving_variance":
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    images = generator.normal(size=(2, 16, 16, 3)).astype(np.float32)
    logits = naive_logits(model, images, UNITS[name], branch)
    np.testing.assert_allclose(model(images), logits, rtol=1e-3, atol=1e-4)
    folded = fold(model)
    assert not any(isinstance(layer, SupermaskMixin) for layer in folded.layers)
    np.testing.assert_array_equal(folded(images), model(images))
