import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tfsupermask import layers, models
from tfsupermask._validation import InputError
from tfsupermask.conversion import convert, fix_masks, fold
from tfsupermask.init import initialize
from tfsupermask.layers import SignedConstant

from .conftest import assert_same_weights


def images(shape=(5, 8, 8, 3)):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def mixed_model():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.SupermaskConv2D(
                8, 3, sparsity=0.7, strides=2, padding="same", use_bias=True,
                bias_initializer="random_normal",
            ),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(4, 3),
            keras.layers.Flatten(),
            layers.SupermaskDense(6, method="edge_popup_by_score", activation="relu"),
            keras.layers.Dense(3),
        ]
    )  # fmt: skip


def model_of_every_kind():
    """Every supermask layer, nested, with initializers of this package."""
    common = {"sparsity": 0.4, "use_bias": True, "bias_initializer": "random_normal"}
    constant = SignedConstant(3.0, seed=1)
    depthwise = layers.SupermaskDepthwiseConv2D(
        3, depth_multiplier=2, depthwise_initializer=constant, **common
    )
    separable = layers.SupermaskSeparableConv2D(
        4, 2, sparsity=(0.2, 0.9), pointwise_initializer=constant
    )
    transpose = layers.SupermaskConv2DTranspose(3, 2, strides=2, **common)
    inner = [keras.Input((8, 8, 3)), depthwise, separable, transpose]
    inputs = keras.Input((8, 8, 3))
    x = keras.Sequential(inner)(inputs)
    steps = keras.layers.Reshape((100, 3))(x)
    causal = {"padding": "causal", "dilation_rate": 2}
    x1 = layers.SupermaskConv1D(3, 3, **causal, **common)(steps)
    x2 = layers.SupermaskConv2D(4, 3, groups=1, dilation_rate=2, **common)(x)
    x2 = keras.layers.Conv2D(2, 1, kernel_initializer=SignedConstant(seed=2))(x2)
    x3 = keras.layers.Reshape((10, 10, 3, 1))(x)
    x3 = layers.SupermaskConv3D(2, 2, strides=2, **common)(x3)
    flat = [keras.layers.Flatten()(each) for each in (x1, x2, x3)]
    x = keras.layers.Concatenate()(flat)
    return keras.Model(inputs, layers.SupermaskDense(5, activation="tanh")(x))


def half_precision():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.SupermaskConv2D(4, 3, dtype="mixed_bfloat16"),
            layers.SupermaskSeparableConv2D(4, 3, dtype="mixed_float16"),
            keras.layers.Flatten(),
            layers.SupermaskDense(3, dtype="bfloat16", use_bias=True),
        ]
    )
    initialize(model, "kaiming_normal")
    return model


# Where this package is not imported.
LOAD = """
import json, sys
sys.modules["tfsupermask"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
images = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype("float32")
print(json.dumps(model(images).numpy().tolist()))
"""


@pytest.mark.parametrize("make", [mixed_model, model_of_every_kind, half_precision])
def test_same_outputs_without_our_classes(make, tmp_path):
    model, path = make(), tmp_path / "folded.keras"
    model(images(), training=True)  # gives batch normalisation something to copy
    folded = fold(model)
    np.testing.assert_array_equal(folded(images()), model(images()))
    assert "tfsupermask" in model.to_json()
    assert "tfsupermask" not in folded.to_json()
    folded.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(images()), folded(images()))
    if make is model_of_every_kind:
        depthwise = folded.layers[1].layers[0].depthwise_initializer
        assert type(depthwise) is keras.initializers.VarianceScaling
        assert depthwise.get_config()["scale"] == 3.0
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(path)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        np.testing.assert_allclose(json.loads(done.stdout), model(images()), atol=1e-6)


def test_kernels_are_masked_and_the_model_is_unchanged():
    model = models.build("conv2", (8, 8, 3), sparsity=0.9)
    before, config = [v.numpy() for v in model.variables], model.to_json()
    folded = fold(model)
    for source in layers.supermask_layers(model):
        kernel = folded.get_layer(source.name).kernel.numpy()
        assert np.count_nonzero(kernel) == source.num_kept
        np.testing.assert_array_equal(kernel, source.kernel * source.mask)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert model.to_json() == config


def test_folding_undoes_conversion():
    last = keras.layers.Dense(3, activation="softmax", kernel_regularizer="l2")
    plain = [keras.layers.Conv2D(4, 3), keras.layers.Flatten(), last]
    model = keras.Sequential([keras.Input((8, 8, 3)), *plain])
    folded = fold(convert(model, 0.0, verbose=False))
    assert folded.get_config() == model.get_config()
    assert_same_weights(folded, model)
    assert all(weight.trainable for weight in folded.weights)
    model.compile("sgd", "mse")
    folded = fold(model)
    assert not folded.compiled


class WithInitializer(keras.Model):
    """Has an initializer in its config."""

    def __init__(self, initializer, **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)
        self.inner = layers.SupermaskDense(3, kernel_initializer=self.initializer)

    def call(self, inputs):
        return self.inner(inputs)

    def get_config(self):
        return {"initializer": keras.initializers.serialize(self.initializer)}


def test_an_initializer_of_ours_in_a_models_own_config_is_replaced():
    model = WithInitializer(SignedConstant(seed=1))
    inputs = np.ones((2, 4), "float32")
    model(inputs)
    folded = fold(model)
    assert type(folded) is WithInitializer
    assert "tfsupermask" not in folded.to_json()
    np.testing.assert_array_equal(folded(inputs), model(inputs))


class OtherMaskedDense(layers.SupermaskMixin, keras.layers.Dense):
    pass


class Twice(layers.SupermaskDense):
    def call(self, inputs):
        return 2 * super().call(inputs)


class OwnWeights(layers.SupermaskMixin, keras.layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3), name="kernel")
        super().build(shape)

    def call(self, inputs):
        return inputs @ self.kernel


@pytest.mark.parametrize("make", [lambda: Twice(3), OwnWeights])
@pytest.mark.parametrize("copy", [fold, fix_masks])
def test_a_supermask_layer_that_computes_by_itself_is_refused(make, copy):
    model = keras.Sequential([keras.Input((4,)), make()])
    with pytest.raises(InputError, match=r"must leave `build` and `call`.*own=\["):
        copy(model)


def test_a_supermask_layer_of_another_class_is_folded():
    model = keras.Sequential([keras.Input((4,)), OtherMaskedDense(3, name="other")])
    inputs = np.ones((2, 4), "float32")
    folded = fold(model)
    assert type(folded.get_layer("other")) is keras.layers.Dense
    np.testing.assert_array_equal(folded(inputs), model(inputs))
