"""Which weights are kernels, and how many of each are kept."""

import keras
import numpy as np
import pytest

from tests.layers.kinds import KINDS, Bilinear, masked
from tfsupermask._validation import InputError
from tfsupermask.conversion import convert, fold
from tfsupermask.layers import (
    SupermaskDense,
    SupermaskSeparableConv2D,
    is_kernel,
    kernels_of,
    masked_weights,
    plain_class,
    supermask,
)


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_of_and_their_fans(kind):
    plain, expected = KINDS[kind].make(), KINDS[kind].kernels
    plain(*KINDS[kind].inputs())
    layer = masked(kind, sparsity=0.4)
    assert plain_class(layer) is plain_class(plain) is type(plain)
    for found in (kernels_of(plain), kernels_of(layer)):
        assert expected == [
            (each.name.split("/")[-1], tuple(each.variable.shape), *each.fans)
            for each in found
        ]
    for each, ours in zip(kernels_of(plain), kernels_of(layer), strict=True):
        assert plain.weights[each.position] is each.variable
        assert ours.position == each.position
    for kernel, weight in zip(kernels_of(layer), layer.masked_weights, strict=True):
        assert weight.kernel is kernel.variable
        assert weight.owner is kernel.owner
        assert weight.fans == kernel.fans
        assert weight.name == f"{layer.name}/{kernel.name}"
        assert weight.num_weights == np.prod(kernel.variable.shape)


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"w"}))
def test_kernels_are_drawn_by_their_initializers(kind):
    plain = KINDS[kind].make()
    plain(*KINDS[kind].inputs())
    for kernel in kernels_of(plain):
        assert kernel.initializer is not None
        kernel.draw_by(keras.initializers.Constant(0.25))
        assert isinstance(kernel.initializer, keras.initializers.Constant)
        np.testing.assert_array_equal(kernel.variable, 0.25 + 0 * kernel.variable)
        config = kernel.owner.get_config()[kernel.initializer_name]
        assert config["class_name"] == "Constant"


def test_other_layers_have_none():
    for layer in (
        keras.layers.BatchNormalization(),
        keras.layers.LayerNormalization(axis=(1, 2)),
        keras.layers.GroupNormalization(2),
        keras.layers.PReLU(),
        keras.layers.Dropout(0.5),
    ):
        assert kernels_of(layer) == ()
        layer.build((None, 3, 4))
        assert kernels_of(layer) == ()


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "expected"),
    [
        ("kernel", (2, 3), "float32", True),
        ("my_weights", (2, 3), "bfloat16", True),
        ("w", (2, 3, 4), "float16", True),
        ("w", (2,), "float32", False),
        ("w", (2, 3), "int32", False),
        ("bias", (2, 3), "float32", False),
        ("kernel_scale", (2, 3), "float32", False),
        ("weighting", (2, 3), "float32", False),
    ],
)
def test_is_kernel(name, shape, dtype, expected):
    variable = keras.Variable(np.zeros(shape), dtype=dtype, name=name)
    assert is_kernel(None, variable) is expected


def test_the_kernels_may_be_named_by_their_positions():
    layer = supermask(Bilinear(), kernels=[1], sparsity=0.5)
    layer.build((None, 5))
    assert [weight.name for weight in layer.masked_weights] == [f"{layer.name}/shift"]
    assert layer.w.trainable
    twin = type(layer).from_config(layer.get_config())
    twin.build((None, 5))
    assert [weight.name for weight in twin.masked_weights] == [f"{twin.name}/shift"]


def test_every_weight_may_be_masked_numbers_too():
    layer = keras.layers.Normalization()
    layer.adapt(np.arange(6.0).reshape(2, 3))
    plain = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(2)])
    model = convert(plain, 0.5, kernels=lambda layer, weight: True, verbose=False)
    kept = {weight.name: weight.num_kept for weight in masked_weights(model)}
    names = (f"{layer.name}/{name}" for name in ("mean", "variance", "count"))
    assert [kept[name] for name in names] == [1, 1, 1]
    inputs = np.ones((4, 3))
    np.testing.assert_array_equal(fold(model)(inputs), model(inputs))


def test_the_biases_of_an_einsum_may_be_masked():
    inputs = keras.Input((5, 8))
    attention = keras.layers.MultiHeadAttention(2, 3)
    plain = keras.Model(inputs, attention(inputs, inputs))
    model = convert(plain, 0.5, kernels=lambda layer, weight: True, verbose=False)
    biases = [w for w in masked_weights(model) if w.name.endswith("bias")]
    assert len(biases) == 4
    assert all(w.num_kept == w.num_weights // 2 for w in biases)


GATES = ("kernel", "recurrent_kernel")
CELLS = [keras.layers.LSTMCell(2, name=name) for name in "pq"]


@pytest.mark.parametrize(
    ("layer", "owners", "kernels"),
    [
        (
            keras.layers.MultiHeadAttention(2, 3, name="a"),
            ["a/query", "a/key", "a/value", "a/attention_output"],
            ["kernel"],
        ),
        (
            keras.layers.Bidirectional(keras.layers.GRU(2, name="g"), name="b"),
            ["b/forward_g/gru_cell", "b/backward_g/gru_cell"],
            GATES,
        ),
        (
            keras.layers.RNN(CELLS, name="r"),
            ["r/stacked_rnn_cells/p", "r/stacked_rnn_cells/q"],
            GATES,
        ),
    ],
)
def test_names_say_where_a_kernel_is(layer, owners, kernels):
    is_attention = isinstance(layer, keras.layers.MultiHeadAttention)
    layer = supermask(layer)
    layer(*[np.ones((1, 4, 5), np.float32)] * (2 if is_attention else 1))
    expected = [f"{owner}/{kernel}" for owner in owners for kernel in kernels]
    assert [weight.name for weight in layer.masked_weights] == expected


def separable(**kwargs):
    layer = SupermaskSeparableConv2D(10, 3, name="sep", **kwargs)
    layer.build((None, 8, 8, 4))
    return layer


def test_masked_weights_of_a_layer_and_of_a_model():
    inner = keras.Sequential([keras.Input((360,)), SupermaskDense(3, name="dense")])
    flat = keras.layers.Flatten()
    model = keras.Sequential([keras.Input((8, 8, 4)), separable(), flat, inner])
    weights = masked_weights(model)
    names = ["sep/depthwise_kernel", "sep/pointwise_kernel", "dense/kernel"]
    assert [weight.name for weight in weights] == names
    assert [weight.num_weights for weight in weights] == [36, 40, 1080]
    assert model.layers[0].num_weights == 76
    assert all(weight.layer is weight.owner for weight in weights)


def test_a_pair_of_sparsities_in_the_order_of_the_kernels():
    layer = separable(sparsity=[0.25, 0.75])
    assert layer.sparsity == (0.25, 0.75)
    assert [weight.num_kept for weight in layer.masked_weights] == [27, 10]
    assert layer.num_kept == 37
    assert layer.realised_sparsity == 1 - 37 / 76
    twin = SupermaskSeparableConv2D.from_config(layer.get_config())
    assert tuple(twin.sparsity) == (0.25, 0.75)
    layer.sparsity = 0.5
    assert layer.sparsity == 0.5
    assert [weight.num_kept for weight in layer.masked_weights] == [18, 20]
    layer.masked_weights[1].sparsity = 0.0
    assert layer.sparsity == (0.5, 0.0)


def test_kernels_without_a_sparsity_are_trained_as_usual():
    layer = separable(sparsity=(None, 0.75))
    twin = SupermaskSeparableConv2D.from_config(layer.get_config())
    twin.build((None, 8, 8, 4))
    for each in (layer, twin):
        names = [weight.name for weight in each.masked_weights]
        assert names == ["sep/pointwise_kernel"]
        assert each.depthwise_kernel.trainable
        assert each.sparsity == (None, 0.75)
    layer.sparsity = 0.5
    assert layer.sparsity == (None, 0.5)
    layer.sparsity = (None, 0.25)
    assert layer.num_kept == 30


def test_refuses_a_bad_pair_and_keeps_the_old_one():
    layer = separable(sparsity=(0.25, 0.75))
    for given in ((0.5,), (0.1, 0.2, 0.3), (), (0.5, 1.0), (None, 0)):
        with pytest.raises(InputError, match="`sparsity` must be"):
            layer.sparsity = given
        assert layer.sparsity == (0.25, 0.75)
        if given != (None, 0):
            with pytest.raises(InputError, match="`sparsity` must be"):
                separable(sparsity=given)


def test_num_kept_can_be_assigned_exactly_within_its_range():
    layer = SupermaskDense(7)
    layer.build((None, 13))
    weight = layer.masked_weights[0]
    for kept in (0, -1, 92, 2.5, True, None):
        with pytest.raises(InputError, match=rf"`num_kept` must be.*num_kept={kept!r}"):
            weight.num_kept = kept
        assert layer.sparsity == 0.5
    for kept in range(1, 92):
        weight.num_kept = kept
        assert weight.num_kept == layer.num_kept == kept
        assert float(np.sum(weight.mask)) == kept
        assert abs(layer.sparsity - layer.realised_sparsity) < 0.5 / 91
        assert abs(layer.realised_sparsity - (1 - kept / 91)) < 1e-9
    assert layer.sparsity == 0.0
