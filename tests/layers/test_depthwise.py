import keras
import numpy as np
import pytest

from tfsupermask._validation import InputError
from tfsupermask.layers import SupermaskDepthwiseConv2D, SupermaskSeparableConv2D

ARGUMENTS = [
    {},
    {"padding": "same"},
    {"kernel_size": (2, 3), "padding": "same"},
    {"depth_multiplier": 3},
    {"strides": 2},
    {"strides": 2, "padding": "same", "depth_multiplier": 2},
    {"dilation_rate": 2},
    {"use_bias": True},
    {"activation": "relu"},
    {"activation": "tanh", "use_bias": True, "depth_multiplier": 2},
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_depthwise_equals_keras_layer_with_the_masked_kernel(
    sparsity, arguments, check_equals_plain
):
    arguments = {"kernel_size": 3, "use_bias": False, **arguments}
    layer = SupermaskDepthwiseConv2D(**arguments, sparsity=sparsity)
    check_equals_plain(layer, keras.layers.DepthwiseConv2D(**arguments), (8, 7, 3))


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("sparsity", [0.0, 0.6, (0.3, 0.8)])
def test_separable_equals_keras_layer_with_the_masked_kernels(
    sparsity, arguments, check_equals_plain
):
    arguments = {"filters": 5, "kernel_size": 3, "use_bias": False, **arguments}
    layer = SupermaskSeparableConv2D(**arguments, sparsity=sparsity)
    check_equals_plain(layer, keras.layers.SeparableConv2D(**arguments), (8, 7, 3))


def test_depthwise_kernel_by_hand():
    layer = SupermaskDepthwiseConv2D((1, 2), sparsity=0.5)
    layer.build((None, 1, 2, 2))
    layer.kernel.assign(np.reshape([1.0, 20.0, 300.0, 4000.0], (1, 2, 2, 1)))
    layer.score.assign(np.reshape([0.1, -0.4, 0.3, 0.2], (1, 2, 2, 1)))
    np.testing.assert_array_equal(layer(np.ones((1, 1, 2, 2)))[0, 0, 0], [300, 20])


def test_separable_kernels_by_hand():
    layer = SupermaskSeparableConv2D(1, (1, 2), sparsity=0.5)
    layer.build((None, 1, 2, 2))
    layer.depthwise_kernel.assign(np.reshape([1.0, 2.0, 3.0, 4.0], (1, 2, 2, 1)))
    layer.depthwise_score.assign(np.reshape([0.1, -0.4, 0.3, 0.2], (1, 2, 2, 1)))
    layer.pointwise_kernel.assign(np.reshape([10.0, 100.0], (1, 1, 2, 1)))
    layer.pointwise_score.assign(np.reshape([0.1, 0.2], (1, 1, 2, 1)))
    assert float(layer(np.ones((1, 1, 2, 2)))[0, 0, 0, 0]) == 2 * 100


def test_channels_first_has_the_same_kernels_and_output_shape():
    depthwise = SupermaskDepthwiseConv2D(
        3, depth_multiplier=2, data_format="channels_first"
    )
    depthwise.build((None, 2, 6, 7))
    assert tuple(depthwise.score.shape) == (3, 3, 2, 2)
    assert depthwise.compute_output_shape((None, 2, 6, 7)) == (None, 4, 4, 5)
    separable = SupermaskSeparableConv2D(4, 3, data_format="channels_first")
    separable.build((None, 2, 6, 7))
    assert tuple(separable.depthwise_score.shape) == (3, 3, 2, 1)
    assert tuple(separable.pointwise_score.shape) == (1, 1, 2, 4)
    assert separable.compute_output_shape((None, 2, 6, 7)) == (None, 4, 4, 5)


def test_bias_goes_to_the_channels_whatever_their_axis():
    layer = SupermaskDepthwiseConv2D(1, data_format="channels_first", use_bias=True)
    layer.build((None, 2, 4, 5))
    layer.bias.assign([1.0, 2.0])
    outputs = layer.add_bias_and_activate(np.zeros((1, 2, 4, 5), np.float32))
    np.testing.assert_array_equal(outputs[0, :, 0, 0], [1, 2])
    assert np.ptp(outputs[0, 0]) == 0


def test_scores_start_within_the_bound_of_each_kernel():
    layer = SupermaskSeparableConv2D(200, 5)
    layer.build((None, 8, 8, 64))
    for score, bound in [
        (layer.depthwise_score, 1 / np.sqrt(25)),
        (layer.pointwise_score, 1 / np.sqrt(64)),
    ]:
        assert 0.98 * bound < np.abs(score.numpy()).max() <= bound


@pytest.mark.parametrize(
    "single", [lambda layer: layer.mask, lambda layer: layer.masked_kernel()]
)
def test_separable_has_no_single_mask(single):
    layer = SupermaskSeparableConv2D(4, 3)
    layer.build((None, 6, 6, 2))
    with pytest.raises(InputError, match=r"several masks.*'depthwise_kernel', 'po"):
        single(layer)


def test_bias_is_the_only_other_thing_trained():
    layer = SupermaskSeparableConv2D(4, 3, use_bias=True)
    layer.build((None, 6, 6, 2))
    assert {weight.name for weight in layer.trainable_weights} == {
        *("depthwise_score", "pointwise_score", "bias")
    }
    assert {weight.name for weight in layer.non_trainable_weights} == {
        *("depthwise_kernel", "pointwise_kernel")
    }


@pytest.mark.parametrize(
    "layer_class", [SupermaskDepthwiseConv2D, SupermaskSeparableConv2D]
)
def test_keras_own_checks_remain(layer_class):
    arguments = {} if layer_class is SupermaskDepthwiseConv2D else {"filters": 2}
    for wrong in ({"kernel_size": 0}, {"kernel_size": 3, "padding": "no"}):
        with pytest.raises(ValueError, match="Received"):
            layer_class(**arguments, **wrong)
