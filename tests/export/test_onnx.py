import importlib.util
import json

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from keras.src.export.tf2onnx_lib import patch_tf2onnx

from tfsupermask import layers
from tfsupermask._validation import InputError
from tfsupermask.export import export_model

from .conftest import MEAN, NAMES, STD, separable


def test_says_what_it_takes_and_gives(tmp_path):
    file = onnx.load(export_model(separable(), tmp_path / "m.onnx", MEAN, STD, NAMES))
    onnx.checker.check_model(file)

    def described(value):
        tensor = value.type.tensor_type
        sizes = [d.dim_param or d.dim_value for d in tensor.shape.dim]
        return value.name, onnx.TensorProto.DataType.Name(tensor.elem_type), sizes

    assert [described(value) for value in file.graph.input] == [
        ("images", "UINT8", ["batch", 8, 8, 3])
    ]
    assert [described(value) for value in file.graph.output] == [
        ("logits", "FLOAT", ["batch", 10]),
        ("probabilities", "FLOAT", ["batch", 10]),
    ]
    metadata = {entry.key: entry.value for entry in file.metadata_props}
    assert json.loads(metadata["class_names"]) == list(NAMES)


def test_no_warnings_and_a_missing_tf2onnx_is_named(tmp_path, monkeypatch, recwarn):
    patch_tf2onnx.cache_clear()  # as in a process that exports for the first time
    monkeypatch.delattr(np, "object", raising=False)
    export_model(separable(), tmp_path / "model.onnx", MEAN, STD)
    assert not [w for w in recwarn if issubclass(w.category, FutureWarning)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'tfsupermask\[onnx\]'"):
        export_model(separable(), tmp_path / "model.onnx")


class Adds(keras.layers.Layer):
    """Holds a constant where Keras does not see it."""

    held = (tf.constant([1.0, 2.0]),)

    def call(self, inputs):
        return inputs + self.held[0]


def test_tensors_that_layers_hold_are_no_inputs(tmp_path):
    normalise = keras.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4, 9])
    entry = keras.Input((4, 4, 3), name="images")
    model = keras.Sequential([entry, normalise, layers.SupermaskConv2D(2, 3)])
    images = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype("float32")
    session = onnxruntime.InferenceSession(export_model(model, tmp_path / "model.onnx"))
    (outputs,) = session.run(None, {"images": images})
    np.testing.assert_allclose(outputs, model(images), rtol=1e-5, atol=1e-6)
    other = keras.Sequential([keras.Input((2,)), Adds()])
    with pytest.raises(InputError, match="constants of the model became inputs"):
        export_model(other, tmp_path / "other.onnx")


@pytest.mark.parametrize(
    "lacking", [keras.ops.linalg.cholesky, lambda x: keras.ops.linalg.lu_factor(x)[0]]
)
def test_what_onnx_lacks_is_said_and_the_older_file_stays(tmp_path, lacking):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"precious")
    inputs = keras.Input((4, 4))
    with pytest.raises(InputError, match="operations that ONNX has"):
        export_model(keras.Model(inputs, lacking(inputs)), path)
    assert path.read_bytes() == b"precious"
