"""SavedModels that need TensorFlow alone, and programs that use them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._validation import fail
from tfsupermask.export.folding import fold


class _Servable(tf.Module):
    """The folded network with its preprocessing and class names."""

    def __init__(self, model, mean, std, class_names):
        super().__init__(name="subnetwork")
        self._network = model
        self._mean, self._std = mean, std
        # Variables, because a SavedModel keeps no bare constants.
        self.network_variables = [variable.value for variable in model.variables]
        self.class_names = tf.Variable(list(class_names), trainable=False)

    def uint8_images(self, images):
        return self.float_images(tf.cast(images, tf.float32) / 255.0)

    def float_images(self, images):
        normalised = (images - self._mean) / self._std
        logits = tf.cast(self._network(normalised, training=False), tf.float32)
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class_names": self.class_names.value(),
        }


def export_saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    mean: np.ndarray,
    std: np.ndarray,
    class_names: Sequence[str],
) -> Path:
    """Writes a SavedModel with the masks folded in.

    It has two signatures, both with one argument `images` and a batch of any size:

    - `serving_default` takes uint8 images, 0 to 255;
    - `float_images` takes float32 images, 0 to 1.

    Both normalise by themselves and return `logits` and `probabilities`, float32
    (batch, classes), and `class_names`, strings (classes,). A whole new folder is put
    in the place of an older one at `path` once it is complete.

    Args:
        model: Keras model from normalised images to logits.
        path: Folder to write.
        mean: (channels,) mean of the training images, in units of 0..1 intensity.
        std: (channels,) standard deviation likewise.
        class_names: One name for each logit.

    Returns:
        The folder.

    Raises:
        InputError: There is something at `path` that is not a SavedModel.

    Example:
    >>> export_saved_model(model, "digits", dataset.mean, dataset.std,
    ...                    dataset.class_names)
    >>> serve = tf.saved_model.load("digits").signatures["serving_default"]
    >>> serve(images=tf.zeros((1, 32, 32, 3), tf.uint8))["probabilities"].shape
    TensorShape([1, 10])
    """
    path = Path(path)
    if path.exists() and not is_saved_model(path):
        raise fail(
            "The export's place must be free or hold an older SavedModel.",
            path=str(path),
        )
    servable = _Servable(fold(model), mean, std, class_names)
    shape = (None, *model.input_shape[1:])
    signatures = {
        "serving_default": tf.function(servable.uint8_images).get_concrete_function(
            images=tf.TensorSpec(shape, tf.uint8)
        ),
        "float_images": tf.function(servable.float_images).get_concrete_function(
            images=tf.TensorSpec(shape, tf.float32)
        ),
    }
    aside = path.with_name(path.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    tf.saved_model.save(servable, str(aside), signatures)
    if path.exists():
        shutil.rmtree(path)
    aside.rename(path)
    return path


def is_saved_model(path: str | os.PathLike) -> bool:
    """Returns whether `path` is the folder of a SavedModel."""
    return (Path(path) / "saved_model.pb").is_file()


class Classifier:
    """A SavedModel of this package, loaded for use.

    Args:
        path: Folder of the SavedModel.

    Attributes:
        class_names: Tuple of strings.
        image_shape: (height, width, channels) that it takes.

    Raises:
        InputError: `path` holds no SavedModel, or not one of this package.

    Example:
    >>> classifier = Classifier("runs/my_run/saved_model")
    >>> classifier.logits(np.zeros((1, 32, 32, 3), np.uint8)).shape
    (1, 10)
    """

    def __init__(self, path: str | os.PathLike):
        if not is_saved_model(path):
            raise fail("`path` must be the folder of a SavedModel.", path=str(path))
        self._loaded = tf.saved_model.load(str(path))
        self._serve = self._loaded.signatures.get("serving_default")
        if self._serve is None or not hasattr(self._loaded, "class_names"):
            raise fail(
                "The SavedModel must be one that this program wrote, with class names "
                "and a serving signature.",
                path=str(path),
            )
        self.class_names = tuple(
            name.decode() for name in self._loaded.class_names.numpy()
        )
        spec = self._serve.structured_input_signature[1]["images"]
        self.image_shape = tuple(spec.shape[1:])

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 logits (n, classes) of uint8 images (n, *image_shape)."""
        return self._serve(images=tf.convert_to_tensor(images))["logits"].numpy()

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 probabilities (n, classes) of uint8 images."""
        return self._serve(images=tf.convert_to_tensor(images))["probabilities"].numpy()
