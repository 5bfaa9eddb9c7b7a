import keras
import numpy as np
import pytest

from tfsupermask.layers import SupermaskConv1D, SupermaskConv2D, SupermaskConv3D


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("arguments", "input_shape"),
    [
        ({}, (6, 6, 2)),
        ({"padding": "same"}, (6, 6, 2)),
        ({"kernel_size": (1, 1)}, (5, 5, 3)),
        ({"kernel_size": (2, 3), "padding": "same"}, (5, 7, 3)),
        ({"strides": 2}, (7, 7, 2)),
        ({"strides": (2, 1), "padding": "same"}, (7, 6, 2)),
        ({"dilation_rate": 2}, (8, 8, 2)),
        ({"dilation_rate": (1, 2), "padding": "same"}, (8, 8, 2)),
        ({"groups": 2}, (6, 6, 4)),
        ({"groups": 4, "padding": "same", "strides": 2}, (6, 6, 4)),
        ({"use_bias": True}, (6, 6, 2)),
        ({"activation": "relu"}, (6, 6, 2)),
        ({"activation": "tanh", "use_bias": True, "padding": "same"}, (6, 6, 2)),
    ],
)
@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_equals_keras_convolution_with_the_masked_kernel(
    sparsity, arguments, input_shape
):
    arguments = {"filters": 4, "kernel_size": 3, "use_bias": False, **arguments}
    layer = SupermaskConv2D(**arguments, sparsity=sparsity)
    plain = keras.layers.Conv2D(**arguments)
    for each in (layer, plain):
        each.build((None, *input_shape))
    layer.score.assign(random(*layer.score.shape))
    kept = np.argsort(-np.abs(layer.score.numpy().ravel()))[: layer.num_kept]
    mask = np.isin(np.arange(layer.num_weights), kept).reshape(layer.score.shape)
    plain.kernel.assign(layer.kernel.numpy() * mask)
    if layer.use_bias:
        for each in (layer, plain):
            each.bias.assign([1, -2, 3, -4])
    inputs = random(2, *input_shape, seed=1)
    outputs = layer(inputs)
    assert outputs.shape == plain.compute_output_shape((2, *input_shape))
    np.testing.assert_array_equal(outputs, plain(inputs))


def test_channels_first_has_the_same_kernel_and_output_shape():
    layer = SupermaskConv2D(4, 3, data_format="channels_first")
    layer.build((None, 2, 6, 7))
    assert tuple(layer.score.shape) == (3, 3, 2, 4)
    assert layer.compute_output_shape((None, 2, 6, 7)) == (None, 4, 4, 5)


def test_kernel_by_hand():
    layer = SupermaskConv2D(1, 2, sparsity=0.5)
    layer.build((None, 2, 2, 1))
    layer.kernel.assign(np.reshape([1.0, 20.0, 300.0, 4000.0], (2, 2, 1, 1)))
    layer.score.assign(np.reshape([0.1, -0.4, 0.3, 0.2], (2, 2, 1, 1)))
    assert float(layer(np.ones((1, 2, 2, 1)))[0, 0, 0, 0]) == 320


@pytest.mark.parametrize(
    "arguments", [{"filters": 0}, {"kernel_size": 0}, {"groups": 3}, {"padding": "no"}]
)
def test_keras_own_checks_remain(arguments):
    with pytest.raises(ValueError, match="Received"):
        SupermaskConv2D(**{"filters": 4, "kernel_size": 3, **arguments})


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"padding": "same"},
        {"padding": "causal"},
        {"padding": "causal", "dilation_rate": 2},
        {"padding": "causal", "strides": 2},
        {"dilation_rate": 3},
        {"strides": 2, "padding": "same"},
        {"groups": 2},
        {"use_bias": True, "activation": "tanh", "padding": "causal"},
    ],
)
@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_conv1d_equals_keras_layer_with_the_masked_kernel(
    sparsity, arguments, check_equals_plain
):
    arguments = {"filters": 4, "kernel_size": 3, "use_bias": False, **arguments}
    layer = SupermaskConv1D(**arguments, sparsity=sparsity)
    check_equals_plain(layer, keras.layers.Conv1D(**arguments), (11, 2))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"padding": "same"},
        {"kernel_size": (1, 2, 3)},
        {"strides": 2},
        {"groups": 2},
        {"use_bias": True, "activation": "relu"},
    ],
)
@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_conv3d_equals_keras_layer_with_the_masked_kernel(
    sparsity, arguments, check_equals_plain
):
    arguments = {"filters": 4, "kernel_size": 2, "use_bias": False, **arguments}
    layer = SupermaskConv3D(**arguments, sparsity=sparsity)
    check_equals_plain(layer, keras.layers.Conv3D(**arguments), (5, 6, 5, 2))


def test_a_causal_convolution_does_not_look_ahead():
    layer = SupermaskConv1D(1, 2, padding="causal", sparsity=0.5, dilation_rate=2)
    layer.build((None, 4, 1))
    layer.kernel.assign(np.reshape([10.0, 1.0], (2, 1, 1)))
    layer.score.assign(np.reshape([0.2, 0.1], (2, 1, 1)))
    outputs = layer(np.reshape([1.0, 2.0, 3.0, 4.0], (1, 4, 1)))
    np.testing.assert_array_equal(outputs[0, :, 0], [0, 0, 10, 20])


@pytest.mark.parametrize(
    ("layer_class", "input_shape", "kernel_shape", "output_shape"),
    [
        (SupermaskConv1D, (2, 6), (3, 2, 4), (4, 4)),
        (SupermaskConv3D, (2, 6, 7, 8), (3, 3, 3, 2, 4), (4, 4, 5, 6)),
    ],
)
def test_channels_first_of_the_other_ranks(
    layer_class, input_shape, kernel_shape, output_shape
):
    layer = layer_class(4, 3, data_format="channels_first")
    layer.build((None, *input_shape))
    assert tuple(layer.score.shape) == kernel_shape
    assert layer.compute_output_shape((None, *input_shape)) == (None, *output_shape)
