"""SavedModels that need only TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from tfsupermask._files import check_no_pattern, write_folder
from tfsupermask._validation import fail
from tfsupermask.conversion import fold
from tfsupermask.export.inference import check_preprocessing, classify, input_structure
from tfsupermask.export.names import is_saved_model


def export_saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
) -> Path:
    r"""Writes a SavedModel with the masks folded in.

    With `mean` and `std` it is a classifier of raw images, see `export_model`. It then
    has two signatures, both with one argument `images` and a batch of any size:

    - `serving_default` takes uint8 images, 0 to 255;
    - `float_images` takes float32 images, 0 to 1.

    Both normalise the images and return `logits` and `probabilities`, float32 (batch,
    classes), and `class_names`, strings (classes,).

    Without them `serving_default` has the model's inputs and outputs. An older
    SavedModel at `path` is replaced when the new one is complete.

    Args:
        model: See `export_model`.
        path: Folder to write, without `*`, `?`, `[` and `\\` in its path.
        mean: See `export_model`.
        std: See `export_model`.
        class_names: See `export_model`.

    Returns:
        The folder.

    Raises:
        InputError: `path` exists and is not a SavedModel, or TensorFlow would take it
            for a pattern; or `mean`, `std` and `class_names` do not fit.
        OSError: It cannot be written. An older SavedModel stays as it was.

    Example:
        >>> import tempfile
        >>> model = models.build("conv2")
        >>> path = tempfile.mkdtemp() + "/saved_model"
        >>> path = export_saved_model(model, path, [0.5] * 3, [0.2] * 3)
        >>> serve = tf.saved_model.load(path).signatures["serving_default"]
        >>> serve(images=tf.zeros((1, 32, 32, 3), tf.uint8))["probabilities"].shape
        TensorShape([1, 10])
    """
    path = Path(check_no_pattern("path", path))
    if path.exists() and not is_saved_model(path):
        raise fail(
            "The export's place must be free or hold an older SavedModel.",
            path=str(path),
        )
    preprocessing = check_preprocessing(model, mean, std, class_names)
    network = fold(model)
    servable, signatures = (
        _as_it_is(network)
        if preprocessing is None
        else _classifier(network, preprocessing)
    )
    write_folder(path, lambda new: tf.saved_model.save(servable, str(new), signatures))
    return path


def _classifier(network, preprocessing):
    """Returns the object to save for a classifier of raw images, and its signatures."""
    servable = _servable(network)
    servable.class_names = tf.Variable(preprocessing.class_names, trainable=False)

    def float_images(images):
        outputs = classify(network, images, preprocessing)
        return {**outputs, "class_names": servable.class_names.value()}

    def uint8_images(images):
        return float_images(tf.cast(images, tf.float32) / 255.0)

    shape = (None, *network.input_shape[1:])
    return servable, {
        "serving_default": tf.function(uint8_images).get_concrete_function(
            images=tf.TensorSpec(shape, tf.uint8)
        ),
        "float_images": tf.function(float_images).get_concrete_function(
            images=tf.TensorSpec(shape, tf.float32)
        ),
    }


def _as_it_is(network):
    """Returns the object to save for a network without changes, and its signature."""
    structure = input_structure(network)

    def serve(*inputs):
        inputs = keras.tree.pack_sequence_as(structure, list(inputs))
        outputs = network(inputs, training=False)
        if isinstance(outputs, dict) and all(map(tf.is_tensor, outputs.values())):
            return outputs
        flat = keras.tree.flatten(outputs)
        return {f"output_{index}": output for index, output in enumerate(flat)}

    # TensorFlow makes arguments' names of those of the inputs.
    specs = [
        tf.TensorSpec(each.shape, each.dtype, each.name) for each in network.inputs
    ]
    signature = tf.function(serve).get_concrete_function(*specs)
    return _servable(network), {"serving_default": signature}


def _servable(network):
    # Not the network itself: a SavedModel would hold each Keras variable twice.
    servable = tf.Module()
    servable.network_variables = [variable.value for variable in network.variables]
    kept = tf.Variable, tf.saved_model.experimental.TrackableResource
    servable.of_tensorflow = [
        each
        for each in tf.train.TrackableView(network).descendants()
        if isinstance(each, kept)
    ]
    return servable
