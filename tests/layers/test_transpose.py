import keras
import numpy as np
import pytest

from tfsupermask.layers import SupermaskConv2DTranspose


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"padding": "same"},
        {"kernel_size": (2, 3), "padding": "same"},
        {"strides": 2},
        {"strides": (2, 1), "padding": "same"},
        {"strides": 2, "output_padding": 0, "padding": "same"},
        {"strides": 3, "output_padding": (2, 1)},
        {"dilation_rate": 2},
        {"use_bias": True},
        {"activation": "relu", "strides": 2},
        {"activation": "tanh", "use_bias": True},
    ],
)
@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_equals_keras_layer_with_the_masked_kernel(
    sparsity, arguments, check_equals_plain
):
    arguments = {"filters": 4, "kernel_size": 3, "use_bias": False, **arguments}
    layer = SupermaskConv2DTranspose(**arguments, sparsity=sparsity)
    check_equals_plain(layer, keras.layers.Conv2DTranspose(**arguments), (5, 6, 2))


def test_kernel_by_hand():
    layer = SupermaskConv2DTranspose(1, 2, sparsity=0.5)
    layer.build((None, 1, 1, 1))
    layer.kernel.assign(np.reshape([1.0, 20.0, 300.0, 4000.0], (2, 2, 1, 1)))
    layer.score.assign(np.reshape([0.1, -0.4, 0.3, 0.2], (2, 2, 1, 1)))
    outputs = layer(np.ones((1, 1, 1, 1)))[0, :, :, 0]
    np.testing.assert_array_equal(outputs, [[0, 20], [300, 0]])


def test_channels_first_has_the_same_kernel_and_output_shape():
    layer = SupermaskConv2DTranspose(4, 3, strides=2, data_format="channels_first")
    layer.build((None, 2, 6, 7))
    assert tuple(layer.score.shape) == (3, 3, 4, 2)
    assert tuple(layer.compute_output_shape((None, 2, 6, 7))) == (None, 4, 13, 15)


def test_scores_start_within_the_bound_of_the_inputs():
    layer = SupermaskConv2DTranspose(64, 3)
    layer.build((None, 8, 8, 25))
    bound = 1 / np.sqrt(9 * 25)
    assert 0.99 * bound < np.abs(layer.score.numpy()).max() <= bound


@pytest.mark.parametrize("arguments", [{"filters": 0}, {"padding": "causal"}])
def test_keras_own_checks_remain(arguments):
    with pytest.raises(ValueError, match="Received"):
        SupermaskConv2DTranspose(**{"filters": 4, "kernel_size": 3, **arguments})
