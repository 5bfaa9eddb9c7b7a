import keras
import numpy as np
import pytest

from tfsupermask import layers
from tfsupermask._validation import InputError
from tfsupermask.layers import (
    MaskedWeight,
    SupermaskDense,
    SupermaskSeparableConv2D,
    kernel_fans,
    kernels_of,
    masked_weights,
    plain_class,
)

# Keras class, arguments, input shape; then each kernel's name, initializer and fans.
KINDS = [
    ("Conv1D", {"filters": 6, "kernel_size": 5}, (9, 4), [("kernel", 20, 30)]),
    ("Conv2D", {"filters": 6, "kernel_size": (2, 3)}, (9, 9, 4), [("kernel", 24, 36)]),
    (
        "Conv2D",
        {"filters": 6, "kernel_size": 3, "groups": 2},
        (9, 9, 4),
        [("kernel", 18, 54)],
    ),
    ("Conv3D", {"filters": 6, "kernel_size": 2}, (4, 4, 4, 3), [("kernel", 24, 48)]),
    (
        "Conv2DTranspose",
        {"filters": 6, "kernel_size": 3},
        (9, 9, 4),
        [("kernel", 36, 54)],
    ),
    (
        "DepthwiseConv2D",
        {"kernel_size": 3, "depth_multiplier": 2},
        (9, 9, 4),
        [("kernel", 9, 72)],
    ),
    (
        "SeparableConv2D",
        {"filters": 6, "kernel_size": 3, "depth_multiplier": 2},
        (9, 9, 4),
        [("depthwise_kernel", 9, 72), ("pointwise_kernel", 8, 6)],
    ),
    ("Dense", {"units": 6}, (4,), [("kernel", 4, 6)]),
]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("name", "arguments", "input_shape", "expected"), KINDS)
def test_kernels_of_and_their_fans(name, arguments, input_shape, expected, masked):
    plain = getattr(keras.layers, name)
    layer_class = getattr(layers, f"Supermask{name}") if masked else plain
    layer = layer_class(**arguments)
    assert plain_class(layer) is plain
    kernels = kernels_of(layer)
    assert [kernel.attribute for kernel in kernels] == [each[0] for each in expected]
    layer.build((None, *input_shape))
    for kernel, (attribute, *fans) in zip(kernels, expected, strict=True):
        assert kernel_fans(layer, attribute) == tuple(fans)
        assert kernel.initializer in layer.get_config()
        setattr(layer, kernel.initializer, keras.initializers.Ones())
        assert layer.get_config()[kernel.initializer]["class_name"] == "Ones"
    if masked:
        assert [weight.fans for weight in layer.masked_weights] == [
            tuple(fans) for _, *fans in expected
        ]


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.BatchNormalization(),
        keras.layers.EinsumDense("ab,bc->ac", 3),
        keras.layers.Embedding(3, 4),
        keras.layers.LSTM(3),
        keras.layers.Conv1DTranspose(3, 2),
    ],
)
def test_other_layers_have_none(layer):
    assert kernels_of(layer) == ()
    assert plain_class(layer) is None


def test_a_subclass_has_the_kernels_of_its_base():
    class Mine(keras.layers.Conv2D):
        pass

    assert plain_class(Mine(3, 2)) is keras.layers.Conv2D
    assert [kernel.attribute for kernel in kernels_of(Mine(3, 2))] == ["kernel"]


def separable(**kwargs):
    layer = SupermaskSeparableConv2D(10, 3, name="sep", **kwargs)
    layer.build((None, 8, 8, 4))
    return layer


def test_masked_weights_of_a_layer_and_of_a_model():
    inner = keras.Sequential([keras.Input((360,)), SupermaskDense(3, name="dense")])
    model = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            SupermaskSeparableConv2D(10, 3, name="sep"),
            keras.layers.Flatten(),
            inner,
        ]
    )
    weights = masked_weights(model)
    assert [weight.name for weight in weights] == [
        *("sep/depthwise_kernel", "sep/pointwise_kernel", "dense/kernel")
    ]
    assert [weight.num_weights for weight in weights] == [36, 40, 1080]
    layer = model.layers[0]
    assert layer.num_weights == 76
    assert [w.score_attribute for w in layer.masked_weights] == [
        *("depthwise_score", "pointwise_score")
    ]
    for weight in layer.masked_weights:
        assert weight.kernel is getattr(layer, weight.attribute)
        assert weight.score is getattr(layer, weight.score_attribute)


@pytest.mark.parametrize("given", [(0.25, 0.75), [0.25, 0.75]])
def test_a_pair_of_sparsities_in_the_order_of_the_kernels(given):
    layer = separable(sparsity=given)
    assert layer.sparsity == (0.25, 0.75)
    assert [weight.num_kept for weight in layer.masked_weights] == [27, 10]
    assert layer.num_kept == 37
    assert layer.realised_sparsity == 1 - 37 / 76
    twin = SupermaskSeparableConv2D.from_config(layer.get_config())
    assert twin.sparsity == (0.25, 0.75)
    layer.sparsity = 0.5
    assert layer.sparsity == 0.5
    assert [weight.num_kept for weight in layer.masked_weights] == [18, 20]
    layer.masked_weights[1].sparsity = 0.0
    assert layer.sparsity == (0.5, 0.0)


@pytest.mark.parametrize("given", [(0.5,), (0.1, 0.2, 0.3), (), (0.5, 1.0), (None, 0)])
def test_refuses_a_bad_pair_and_keeps_the_old_one(given):
    layer = separable(sparsity=(0.25, 0.75))
    with pytest.raises(InputError, match="`sparsity` must be"):
        layer.sparsity = given
    assert layer.sparsity == (0.25, 0.75)
    with pytest.raises(InputError, match="`sparsity` must be a number"):
        SupermaskDense(3, sparsity=(0.5, 0.5))


def test_num_kept_can_be_assigned_exactly():
    layer = SupermaskDense(7, name="dense")
    layer.build((None, 13))
    weight = MaskedWeight(layer, "kernel")
    for kept in range(1, 92):
        weight.num_kept = kept
        assert weight.num_kept == kept
        assert float(np.sum(weight.mask)) == kept
    assert layer.sparsity == 0.0


@pytest.mark.parametrize("kept", [0, -1, 92, 2.5, True, None])
def test_refuses_a_num_kept_out_of_range(kept):
    layer = SupermaskDense(7, name="dense")
    layer.build((None, 13))
    with pytest.raises(InputError, match=rf"`num_kept` must be.*num_kept={kept!r}"):
        layer.masked_weights[0].num_kept = kept
    assert layer.sparsity == 0.5
