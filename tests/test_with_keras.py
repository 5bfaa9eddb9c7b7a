"""Masked models in processes that import little: this package alone, or not at all."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers as kl

import tfsupermask

X = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")

LOAD = """
import json, sys
{imports}
x = np.array(json.loads(sys.argv[2]), "float32")
loaded = {load}
print(json.dumps(np.asarray({call}).tolist()))
"""


def run(path, **code):
    done = subprocess.run(
        [sys.executable, "-c", LOAD.format(**code), str(path), json.dumps(X.tolist())],
        capture_output=True,
        text=True,
        check=True,
    )
    return np.array(json.loads(done.stdout.splitlines()[-1]), "float32")


@pytest.fixture(scope="module")
def model():
    parts = [keras.Input((6, 3)), kl.Conv1D(4, 3), kl.GRU(5), kl.Dense(2)]
    model = tfsupermask.convert(keras.Sequential(parts), verbose=False)
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((4, 2)), verbose=0)
    return model


@pytest.mark.parametrize(
    "imports",
    [
        "import numpy as np, keras, tfsupermask",
        "import tfsupermask, numpy as np, keras",
        "import tfsupermask, numpy as np, tensorflow, keras",
    ],
)
def test_one_import_is_enough_to_load(model, imports, tmp_path):
    model.save(tmp_path / "model.keras")
    load = "keras.models.load_model(sys.argv[1])"
    outputs = run(
        tmp_path / "model.keras", imports=imports, load=load, call="loaded(x)"
    )
    np.testing.assert_allclose(outputs, model(X), rtol=1e-5, atol=1e-6)


def test_what_keras_exports_runs_where_tensorflow_alone_is(model, tmp_path):
    model.export(tmp_path / "model", verbose=False)
    outputs = run(
        tmp_path / "model",
        imports="sys.modules['tfsupermask'] = None\n"
        "import numpy as np, tensorflow as tf",
        load="tf.saved_model.load(sys.argv[1])",
        call="loaded.serve(x)",
    )
    np.testing.assert_allclose(outputs, model(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["layers.SignedConstant", "ops.top_k_mask"])
def test_any_public_name_may_be_the_first_import(name):
    package, _, name = name.partition(".")
    code = (
        f"from tfsupermask.{package} import {name}; import keras; "
        "print(keras.saving.get_registered_object('tfsupermask>SignedConstant'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "SignedConstant" in done.stdout
