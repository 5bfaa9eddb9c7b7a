import keras
import numpy as np
import pytest

from tfsupermask import layers, models
from tfsupermask._validation import InputError
from tfsupermask.export import fold


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
            layers.SupermaskDense(6, ranking="score", activation="relu"),
            keras.layers.Dense(3),
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    "make", [mixed_model, lambda: models.build("conv4", (8, 8, 3), sparsity=0.3)]
)
def test_same_outputs_without_our_classes(make):
    model = make()
    model(images(), training=True)  # gives batch normalisation something to copy
    folded = fold(model)
    np.testing.assert_array_equal(folded(images()), model(images()))
    for layer in folded.layers:
        assert type(layer).__module__.startswith("keras.")


def test_kernels_are_masked_and_the_model_is_unchanged():
    model = models.build("conv2", (8, 8, 3), sparsity=0.9)
    before = [v.numpy() for v in model.variables]
    folded = fold(model)
    for source in layers.supermask_layers(model):
        kernel = folded.get_layer(source.name).kernel.numpy()
        assert np.count_nonzero(kernel) == source.num_kept
        np.testing.assert_array_equal(kernel, source.kernel * source.mask)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_nested_supermask_layers_are_refused_not_forgotten():
    inner = keras.Sequential([keras.Input((4,)), layers.SupermaskDense(3, name="deep")])
    outer = keras.Sequential([keras.Input((4,)), inner])
    with pytest.raises(InputError, match="'deep'"):
        fold(outer)


def test_folded_model_survives_its_file(tmp_path):
    folded = fold(mixed_model())
    folded.save(tmp_path / "folded.keras")
    loaded = keras.models.load_model(tmp_path / "folded.keras")
    np.testing.assert_array_equal(loaded(images()), folded(images()))
