"""ONNX files for ONNX Runtime and what else reads them."""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from tfsupermask._validation import fail
from tfsupermask.export.files import export_file
from tfsupermask.export.inference import (
    check_preprocessing,
    inference_model,
    input_structure,
)


def export_onnx(
    model: keras.Model,
    path: str | os.PathLike,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Writes an `.onnx` file of the folded model.

    With `mean` and `std` it is a classifier of raw images as described in
    `tfsupermask.export.inference`, and holds the class names as a JSON list under
    `class_names` of its metadata. It needs `pip install 'tfsupermask[onnx]'`.

    Args:
        model: Keras model; from normalised images to logits if `mean` is given.
        path: File to write, ending in `.onnx`; an older one is replaced at the end.
        mean: (channels,) mean of the training images, in units of 0..1 intensity.
        std: (channels,) standard deviation likewise. Without the two, which is the
            default, the model is exported as it is.
        class_names: One name for each logit. Defaults to their numbers.

    Returns:
        The file.

    Raises:
        InputError: The arguments do not fit each other or the model, the model has
            operations that ONNX lacks, or tf2onnx is not installed.

    Example:
        >>> import tempfile, onnxruntime
        >>> model = models.build("conv2", (8, 8, 3))
        >>> path = export_onnx(
        ...     model, tempfile.mkdtemp() + "/tiny.onnx", [0.5] * 3, [0.2] * 3
        ... )
        >>> session = onnxruntime.InferenceSession(path)
        >>> images = np.zeros((5, 8, 8, 3), np.uint8)
        >>> (logits,) = session.run(["logits"], {"images": images})
        >>> logits.shape
        (5, 10)
    """
    if importlib.util.find_spec("tf2onnx") is None:
        raise fail("ONNX export needs tf2onnx: pip install 'tfsupermask[onnx]'.")
    preprocessing = check_preprocessing(model, mean, std, class_names)

    def write(aside):
        network = inference_model(model, preprocessing)
        _hold_arrays(network)
        network(input_structure(network))  # Keras wants it called before
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                network.export(aside, format="onnx", verbose=False)
            _finish(aside, len(network.inputs), preprocessing)
        except Exception as error:  # tf2onnx raises whatever it meets
            raise fail(
                "The model must be made of operations that ONNX has.",
                reason=str(error).partition("\n")[0],
            ) from error

    return export_file(path, ".onnx", write)


def _hold_arrays(network):
    """Turns tensors that layers hold into arrays.

    tf2onnx takes such tensors, as those of `Normalization`, for inputs of the network.
    """
    for layer in network._flatten_layers():
        for name, value in list(vars(layer).items()):
            if isinstance(value, tf.Tensor):
                setattr(layer, name, value.numpy())


def _finish(path, num_inputs, preprocessing):
    """Checks the file, names the batch dimension and adds the class names."""
    import onnx

    file = onnx.load(path)
    # tf2onnx writes what it does not know as it is, and no runtime could run that.
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
