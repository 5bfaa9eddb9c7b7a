import keras
import numpy as np
import pytest

from tfsupermask.layers import (
    SupermaskConv2D,
    SupermaskDense,
    SupermaskSeparableConv2D,
)


@pytest.fixture
def model():
    """Five kernels of very different sizes, two of them in one layer."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((6, 6, 2)),
        SupermaskConv2D(4, 3, activation="relu", name="conv"),
        SupermaskSeparableConv2D(8, 3, activation="relu", name="separable"),
        keras.layers.Flatten(name="flatten"),
        SupermaskDense(40, activation="relu", name="wide"),
        SupermaskDense(3, name="classes"),
    ]
    return keras.Sequential(layers)


@pytest.fixture
def images_and_labels():
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 6, 6, 2)).astype("float32"), rng.integers(0, 3, 24)


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def compiled(model):
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), LOSS)
    return model
