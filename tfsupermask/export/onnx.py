"""ONNX files, for ONNX Runtime and other programs."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path

import keras
import tensorflow as tf

from tfsupermask._validation import fail
from tfsupermask.export.inference import (
    Preprocessing,
    compute_in_float32,
    inference_model,
    input_structure,
)


def write_onnx(path: Path, model: keras.Model, preprocessing: Preprocessing | None):
    """Writes an `.onnx` file of the folded model."""
    if importlib.util.find_spec("tf2onnx") is None:
        raise fail("ONNX export needs tf2onnx: pip install 'tfsupermask[onnx]'.")
    network = inference_model(model, preprocessing)
    compute_in_float32(network)
    _hold_arrays(network)
    structure = input_structure(network)
    # Keras exports what a call without `training` computes, and requires one before.
    network = keras.Model(structure, network(structure, training=False))
    network(structure)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            network.export(path, format="onnx", verbose=False)
        _finish(path, len(network.inputs), preprocessing)
    except Exception as error:  # tf2onnx may raise anything
        raise fail(
            "The model must be made of operations that ONNX has.",
            reason=str(error).partition("\n")[0],
        ) from error


def _hold_arrays(network):
    """Makes arrays of layers' tensors, which tf2onnx would mistake for inputs."""
    for layer in network._flatten_layers():
        for name, value in list(vars(layer).items()):
            if isinstance(value, tf.Tensor):
                setattr(layer, name, value.numpy())


def _finish(path, num_inputs, preprocessing):
    """Checks the file, names the batch dimension and adds the class names."""
    import onnx

    file = onnx.load(path)
    # tf2onnx writes unknown operations unchanged, and no runtime could run them.
    onnx.checker.check_model(file)
    if len(file.graph.input) != num_inputs:
        raise ValueError("constants of the model became inputs")
    for value in (*file.graph.input, *file.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if dimensions and dimensions[0].dim_param:
            dimensions[0].dim_param = "batch"
    if preprocessing is not None:
        names = json.dumps(preprocessing.class_names)
        onnx.helper.set_model_props(file, {"class_names": names})
    onnx.save(file, path)
