"""Networks of keras.applications with fewer blocks, weights drawn at random."""

import keras
import numpy as np
import pytest
from keras.src.applications.convnext import ConvNeXt
from keras.src.applications.efficientnet import DEFAULT_BLOCKS_ARGS, EfficientNet

from tfsupermask.conversion import convert, fold
from tfsupermask.layers import masked_weights

from .conftest import assert_same_weights

ARGUMENTS = {"input_shape": (32, 32, 3), "weights": None, "classes": 10}


def small_efficientnet():
    blocks = DEFAULT_BLOCKS_ARGS[:3]
    return EfficientNet(0.3, 0.3, 32, blocks_args=blocks, **ARGUMENTS)


def small_convnext():
    return ConvNeXt((1, 1, 1, 1), (8, 16, 24, 32), name="convnext", **ARGUMENTS)


def randomize(model):
    rng = np.random.default_rng(1)
    for weight in model.weights:
        # Statistics and scales that leave a signal after so many layers.
        if weight.name in ("gamma", "moving_variance", "variance"):
            weight.assign(rng.uniform(0.5, 1, weight.shape))
        elif weight.name != "count":
            weight.assign(rng.normal(0, 0.1, weight.shape))
    return model


@pytest.mark.parametrize("make", [small_efficientnet, small_convnext])
def test_converts_folds_and_loads_with_the_same_outputs(make, tmp_path):
    model = randomize(make())
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    expected = model(images).numpy()
    converted = convert(model, 0.0, scores="random", verbose=False)
    kernels = [weight for weight in model.weights if "kernel" in weight.name]
    assert len(masked_weights(converted)) == len(kernels)
    np.testing.assert_allclose(converted(images), expected, rtol=1e-5, atol=1e-7)

    for weight in masked_weights(converted):
        weight.sparsity = 0.5
    masked = converted(images).numpy()
    assert np.abs(masked - expected).max() > 0.01
    folded = fold(converted)
    assert "tfsupermask" not in folded.to_json()
    np.testing.assert_allclose(folded(images), masked, rtol=1e-5, atol=1e-7)
    for each in (converted, folded):
        each.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert [*map(type, loaded.layers)] == [*map(type, each.layers)]
        assert_same_weights(loaded, each)
