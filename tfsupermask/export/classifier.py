"""Loads exported classifiers of every format."""

from __future__ import annotations

import importlib
import json
import math
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._files import check_no_pattern
from tfsupermask._reading import MAX_JSON, check_names, parse_json
from tfsupermask._validation import InputError, fail
from tfsupermask.export.files import read_class_names
from tfsupermask.export.inference import check_preprocessing, inference_model
from tfsupermask.export.names import is_export
from tfsupermask.tickets import load_ticket
from tfsupermask.tickets.architecture import no_values


class Classifier:
    """An exported classifier, run by the runtime of its format.

    Args:
        path: An export with `mean` and `std`: the folder of a SavedModel, or a
            `.keras`, `.tflite` (needs `pip install 'tfsupermask[litert]'`), `.onnx`
            (needs `pip install 'tfsupermask[onnx]'`) or `.ticket` file.

    Attributes:
        class_names: Tuple of strings.
        image_shape: (height, width, channels) of its input images.

    Raises:
        InputError: `path` is not such an export, or has no `mean` and `std`.

    Example:
        >>> import tempfile
        >>> model, path = models.build("conv2"), tempfile.mkdtemp() + "/digits.keras"
        >>> classifier = Classifier(export_model(model, path, [0.5] * 3, [0.2] * 3))
        >>> classifier.image_shape
        (32, 32, 3)
        >>> classifier.logits(np.zeros((1, 32, 32, 3), np.uint8)).shape
        (1, 10)
    """

    def __init__(self, path: str | os.PathLike):
        path = Path(path)
        if not is_export(path):
            raise fail(
                "`path` must be the folder of a SavedModel, or a file that ends in "
                f"{', '.join(_OPEN)}.",
                path=str(path),
            )
        try:
            is_folder = path.is_dir()
            opened = (_open_saved_model if is_folder else _OPEN[path.suffix])(path)
        except InputError:
            raise
        except Exception as error:  # each runtime has its own errors
            raise fail(
                "`path` must hold a classifier of this program's, exported with the "
                "mean and std of its images.",
                path=str(path),
                reason=f"{type(error).__name__}: {str(error)[:100]}",
            ) from error
        class_names, self.image_shape, self._run = opened
        self.class_names = check_names("class_names", class_names)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Returns logits (n, classes) of uint8 images (n, height, width, channels)."""
        return np.asarray(self._run(images)["logits"])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Returns probabilities (n, classes) of uint8 images as in `logits`."""
        return np.asarray(self._run(images)["probabilities"])


def _open_saved_model(path):
    loaded = tf.saved_model.load(check_no_pattern("path", path))
    (_, arguments) = loaded.signatures["serving_default"].structured_input_signature
    class_names = tuple(name.decode() for name in loaded.class_names.numpy())

    def run(images):
        # Through `loaded`: without it the signature would lose its variables.
        return loaded.signatures["serving_default"](images=tf.constant(images))

    return class_names, tuple(arguments["images"].shape[1:]), run


def _open_keras(path):
    _check_weights(path)
    return _keras_classifier(keras.models.load_model(path), read_class_names(path))


def _check_weights(path):
    """Raises if a model is larger than its file, because it could fill the memory."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            weights = member.filename.endswith(".h5")
            most = path.stat().st_size if weights else MAX_JSON
            if member.file_size > most:
                raise fail(
                    f"The member {member.filename!r} must have at most {most:,} bytes.",
                    path=str(path),
                    bytes=member.file_size,
                )
        config = parse_json(archive.read("config.json"), "config.json")
    with no_values() as made:  # also layers that no output needs
        keras.saving.deserialize_keras_object(config, safe_mode=True)
        count = sum(math.prod(variable.shape) for variable in made)
    if count > path.stat().st_size:
        raise fail("The file must hold all its weights.", weights=count)


def _open_ticket(path):
    ticket = load_ticket(path)
    prepared = check_preprocessing(
        ticket.model, ticket.mean, ticket.std, ticket.class_names
    )
    return _keras_classifier(
        inference_model(ticket.model, prepared), prepared.class_names
    )


def _keras_classifier(model, class_names):
    return class_names, tuple(model.input_shape[1:]), tf.function(model)


def _open_litert(path):
    runtime = _runtime("ai_edge_litert.interpreter", "litert")
    runner = runtime.Interpreter(str(path)).get_signature_runner()
    shape = tuple(map(int, runner.get_input_details()["images"]["shape"][1:]))
    return read_class_names(path), shape, lambda images: runner(images=images)


def _open_onnx(path):
    runtime = _runtime("onnxruntime", "onnx")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    class_names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
    names = [output.name for output in session.get_outputs()]
    (images_input,) = session.get_inputs()

    def run(images):
        return dict(zip(names, session.run(names, {"images": images}), strict=True))

    return tuple(class_names), tuple(images_input.shape[1:]), run


def _runtime(module, extra):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise fail(
            f"Running this file needs pip install 'tfsupermask[{extra}]'.",
            missing=module,
        ) from error


_OPEN = {
    ".keras": _open_keras,
    ".tflite": _open_litert,
    ".onnx": _open_onnx,
    ".ticket": _open_ticket,
}
