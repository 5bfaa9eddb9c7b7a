"""The code of the README and the pages beside it, as it is printed."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import tfsupermask
from tfsupermask import data, models
from tfsupermask.layers import masked_weights, methods
from tfsupermask.models import registry

ROOT = Path(__file__).parents[2]


def code_of(page):
    """The blocks of Python on a page."""
    text = (ROOT / page).read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    return data.load("digits")


def test_readme_makes_a_plain_model_that_classifies(digits, capsys):
    exec(code_of("README.md")[0], {})
    accuracy = float(capsys.readouterr().out.split()[-1])
    assert 0.8 < accuracy < 1
    plain = keras.models.load_model("model.keras")
    zeros = np.mean(plain.layers[1].kernel.numpy() == 0)
    assert zeros == 0.5


def test_patches_on_a_keras_model(digits, capsys):
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(20, 3)])
    model = tfsupermask.convert(model, initializer="kaiming_normal", verbose=False)
    exec(code_of("docs/own_model.md")[1], {"model": model, "train": digits.train})
    assert "conv2d" in capsys.readouterr().out
    kernel = model.layers[0].kernel.numpy()
    np.testing.assert_allclose(kernel.mean(axis=(0, 1, 2)), 0, atol=1e-6)


def transformer():
    """Embedded words, attention and a dense layer."""
    words = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(20, 8, name="word_embedding")(words)
    x = keras.layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    return keras.Model(words, keras.layers.Dense(3)(x))


def test_recipes(digits, monkeypatch):
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    monkeypatch.setattr(methods, "_METHODS", dict(methods._METHODS))
    pretrained = keras.Sequential([keras.Input((9,)), keras.layers.Dense(4)])
    kernel = pretrained.layers[0].kernel.numpy()
    names = {
        "keras": keras,
        "tfsupermask": tfsupermask,
        "pretrained": pretrained,
        "transformer": transformer(),
        "images": digits.train.images[:200],
        "labels": digits.train.labels[:200],
        "test_images": digits.test.images,
        "test_labels": digits.test.labels,
    }
    keep_largest, by_layer, smallest, linear = code_of("docs/how_to.md")

    exec(keep_largest, names)
    (weight,) = masked_weights(names["model"])
    np.testing.assert_array_equal(weight.kernel, kernel)
    kept = np.abs(kernel[np.bool_(weight.mask)])
    assert kept.min() >= np.abs(kernel[~np.bool_(weight.mask)]).max()

    exec(by_layer, names)
    sparsities = {w.name: w.sparsity for w in masked_weights(names["model"])}
    assert len(sparsities) == 5
    for name, sparsity in sparsities.items():
        assert sparsity == (0.8 if "attention" in name else 0.5)

    exec(smallest, names)
    assert names["model"].layers[-1].method.name == "smallest"

    exec(linear, names)
    assert "linear" in models.names()
    assert names["summary"]["epoch"] == 2
    assert [*names["summary"]["layer_sparsity"].values()] == [0.5]
