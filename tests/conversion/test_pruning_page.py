"""The code on the page for those who come from TensorFlow's pruning toolkit."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.layers.kinds import random
from tfsupermask.layers import masked_weights

PAGE = Path(__file__).parents[2] / "docs" / "pruning.md"


@pytest.fixture
def after_the_code(tmp_path, monkeypatch):
    """The variables of the page's code after it ran on a small network."""
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    layers = [keras.layers.Dense(20), keras.layers.Dense(3, activation="softmax")]
    found = {
        "model": keras.Sequential([keras.Input((30,)), *layers]),
        "images": random(128, 30),
        "labels": np.arange(128) % 3,
    }
    exec(code, found)
    return found


def test_the_code_trains_prunes_and_exports(after_the_code):
    found = after_the_code
    history = found["model"].history.history
    np.testing.assert_allclose(history["sparsity"][2:], 0.8, atol=0.01)
    assert history["sparsity"][0] < history["sparsity"][1] < 0.8
    assert history["loss"][-1] < history["loss"][0]
    kept = [weight.num_kept for weight in masked_weights(found["model"])]
    assert kept == [120, 12]
    loaded = keras.models.load_model("pruned.keras")
    assert [np.count_nonzero(layer.kernel) for layer in loaded.layers] == kept
    expected = loaded.predict(found["images"][:5], verbose=0)
    classify = Interpreter("pruned.tflite").get_signature_runner()
    (name,) = classify.get_input_details()
    (outputs,) = classify(**{name: found["images"][:5]}).values()
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)
