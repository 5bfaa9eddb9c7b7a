"""Every class that a ticket may name comes back with the same outputs."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras.src.applications import convnext, inception_resnet_v2

from tfsupermask.layers import SignedConstant, SupermaskDense
from tfsupermask.tickets import allowed, load_ticket, read_ticket_header, save_ticket
from tfsupermask.tickets.architecture import describe

pytestmark = pytest.mark.usefixtures("nothing_runs")

# What layers are made with: their names, and the arguments of all of them.
FILTERS = {"filters": 2, "kernel_size": 2}
HEADS = ("head_dim", "num_query_heads", "num_key_value_heads")
ARGUMENTS = [
    ("UpSampling1D UpSampling2D UpSampling3D", {"size": 2}),
    ("AveragePooling1D AveragePooling2D AveragePooling3D", {"pool_size": 2}),
    ("MaxPooling1D MaxPooling2D MaxPooling3D", {"pool_size": 2}),
    ("Conv1D Conv2D Conv3D ConvLSTM1D ConvLSTM2D ConvLSTM3D", FILTERS),
    ("Conv1DTranspose Conv2DTranspose Conv3DTranspose", FILTERS),
    ("SeparableConv1D SeparableConv2D", FILTERS),
    ("DepthwiseConv1D DepthwiseConv2D", {"kernel_size": 2}),
    ("SpatialDropout1D SpatialDropout2D SpatialDropout3D", {"rate": 0.5}),
    ("AlphaDropout Dropout GaussianDropout", {"rate": 0.5}),
    ("Activation", {"activation": "selu"}),
    ("Dense", {"units": 2, "bias_regularizer": "l1", "kernel_constraint": "max_norm"}),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 3)}),
    ("Embedding", {"input_dim": 5, "output_dim": 2}),
    ("GaussianNoise", {"stddev": 0.5}),
    ("GroupNormalization", {"groups": 2}),
    ("Dot", {"axes": 2}),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 2}),
    ("GroupQueryAttention", dict(zip(HEADS, (2, 4, 2), strict=True))),
    ("Normalization", {"mean": [1.0, 2.0, 3.0, 4.0], "variance": [1.0] * 4}),
    ("Permute", {"dims": (2, 1)}),
    ("RepeatVector", {"n": 2}),
    ("Rescaling", {"scale": [1.0, 2.0, 3.0, 4.0], "offset": -1}),
    ("Reshape", {"target_shape": (-1, 2)}),
    ("LayerScale", {"init_values": 0.1, "projection_dim": 4, "name": "layer_scale"}),
    ("CustomScaleLayer", {"scale": 0.2}),
    ("GRU LSTM SimpleRNN", {"units": 2}),
    ("GRUCell LSTMCell SimpleRNNCell", {"units": 4}),
    ("RNN", {"cell": [keras.layers.LSTMCell(2), keras.layers.GRUCell(3, dropout=0.5)]}),
    ("StackedRNNCells", {"cells": [keras.layers.SimpleRNNCell(4)]}),
    ("Bidirectional", {"layer": keras.layers.LSTM(2, recurrent_dropout=0.5)}),
    ("TimeDistributed", {"layer": keras.Sequential([keras.layers.Dense(2)])}),
    ("SpectralNormalization", {"layer": keras.layers.Dense(2)}),
    ("CategoryEncoding", {"num_tokens": 3}),
    ("CenterCrop RandomCrop Resizing", {"height": 3, "width": 3}),
    ("RandomBrightness RandomColorDegeneration RandomContrast", {"factor": 0.5}),
    ("RandomHue RandomRotation RandomSaturation RandomSharpness", {"factor": 0.5}),
    ("RandomPosterization", {"factor": 4}),
    ("RandomTranslation", {"height_factor": 0.5, "width_factor": 0.5}),
    ("RandomZoom", {"height_factor": 0.5}),
]
MADE = {name: arguments for names, arguments in ARGUMENTS for name in names.split()}
PAIRS = """
Add Average Concatenate Dot Maximum Minimum Multiply Subtract
AdditiveAttention Attention CustomScaleLayer
"""
CELLS = ("GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells")
ELSEWHERE = {
    "LayerScale": convnext.LayerScale,
    "CustomScaleLayer": inception_resnet_v2.CustomScaleLayer,
}


def rank_of(name):
    """How many dimensions between batch and channels a layer takes."""
    if name in ("RepeatVector", "CategoryEncoding", *CELLS):
        return 0
    if name in ("AutoContrast", "CenterCrop", "Resizing", "Solarization"):
        return 2
    if name.startswith("Random"):
        return 2
    dimensions = next((int(d) for d in "123" if f"{d}D" in name), 1)
    return dimensions + name.startswith("ConvLSTM")


def connect(name):
    """Connects a layer to an input of a rank that it takes."""
    rank = rank_of(name)
    inputs = keras.Input((*[6] * rank, 3 if rank == 2 else 4))
    cls = ELSEWHERE.get(name) or getattr(keras.layers, name)
    made = cls(**MADE.get(name, {}))
    if name in ("MultiHeadAttention", "GroupQueryAttention"):
        return inputs, made(inputs, inputs)
    if name in CELLS:
        return inputs, made(inputs, [inputs] * (1 + name.startswith("LSTM")))[0]
    return inputs, made([inputs, inputs] if name in PAIRS.split() else inputs)


PLAIN_OPERATIONS = """absolute all any arctan argmax argmin ceil cos cosh erf exp expm1
flip floor isfinite isinf isnan log log10 log1p log2 logical_not logsumexp max mean min
negative ones_like prod ravel reciprocal round rsqrt sign sin sinh sort sqrt square
std stop_gradient sum tan tanh transpose var zeros_like
celu elu gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu log_sigmoid
log_softmax normalize relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign
sparse_plus sparse_sigmoid sparsemax squareplus tanh_shrink"""
PAIR_OPERATIONS = """add arctan2 divide divide_no_nan dot equal floor_divide greater
greater_equal less less_equal logaddexp logical_and logical_or logical_xor matmul
maximum minimum mod multiply not_equal power subtract true_divide"""


def operate(x):
    """Returns what each operation that a ticket may name makes of a square matrix."""
    ops = keras.ops
    made = [getattr(ops, name)(x) for name in PLAIN_OPERATIONS.split()]
    made += [getattr(ops, name)(x, x) for name in PAIR_OPERATIONS.split()]
    made += [x[:, 1], x[..., ::2], x[:, None, 1:-1], x + 1, 2 / x, x @ x, -x]
    made += [abs(x) > 0, ops.cast(x, "int32"), ops.norm(x, axis=-1)]
    made += [ops.clip(x, 0.2, 0.8), ops.threshold(x, 0.5, 0.1)]
    made += [ops.concatenate([x, x], axis=-1), ops.stack([x, x])]
    made += [ops.where(x > 0.5, x, 0), ops.take(x, [0, 2], axis=1)]
    made += [ops.take_along_axis(x, ops.cast(x, "int32"), axis=1)]
    made += [ops.cumsum(x, axis=1), ops.cumprod(x, axis=1), ops.roll(x, 2, axis=1)]
    made += [ops.expand_dims(x, 1), ops.squeeze(ops.expand_dims(x, 1), 1)]
    made += [ops.reshape(x, (-1, 16)), ops.transpose(x, (0, 2, 1)), ops.mean(x, (1, 2))]
    return [*made, ops.moveaxis(x, 1, 2), ops.swapaxes(x, 1, 2), *ops.top_k(x, 2)]


def of_layers():
    names = [name for module, name in allowed.CLASSES["layer"] if ".ops." not in module]
    ends = [connect(name) for name in sorted(names) if name != "InputLayer"]
    return keras.Model([a for a, _ in ends], [b for _, b in ends])


def of_operations():
    x = keras.Input((4, 4))
    return keras.Model([x], operate(x))


@pytest.mark.parametrize("make", [of_layers, of_operations])
def test_every_class_that_a_ticket_may_name_comes_back(make, tmp_path):
    model, is_operation = make(), make is of_operations
    trees = describe(model)["config"]["layers"]
    described = {(tree["module"], tree["class_name"]) for tree in trees}
    entry = ("keras.layers", "InputLayer")
    assert described - {entry} == {
        pair
        for pair in allowed.CLASSES["layer"] - {entry}
        if (".ops." in pair[0]) == is_operation
    }
    path = save_ticket(model, tmp_path / "a.ticket")
    if not is_operation:
        names = {part["name"] for part in read_ticket_header(path)["parts"]}
        assert "layer_scale/variable" in names  # without Keras' running number
    loaded = load_ticket(path).model
    rng = np.random.default_rng(0)
    inputs = [rng.random((2, *each.shape[1:]), np.float32) for each in model.inputs]
    results = (each(inputs, training=False) for each in (loaded, model))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_activations_are_those_of_keras():
    for name in allowed.ACTIVATIONS:
        assert keras.activations.serialize(keras.activations.get(name)) == name


def test_our_initializer_needs_no_other_import(tmp_path):
    layer = SupermaskDense(2, kernel_initializer=SignedConstant(seed=1))
    path = save_ticket(keras.Sequential([keras.Input((3,)), layer]), tmp_path / "a")
    code = "import sys, tfsupermask as t; print(t.load_ticket(sys.argv[1]).version)"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "2\n", done.stderr
