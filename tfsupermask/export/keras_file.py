"""`.keras` files that need Keras alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import keras

from tfsupermask.export.files import add_class_names, export_file
from tfsupermask.export.inference import check_preprocessing, inference_model


def export_keras(
    model: keras.Model,
    path: str | os.PathLike,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Writes a `.keras` file of the folded model: plain Keras layers, masks baked in.

    With `mean` and `std` it is a classifier of raw images as described in
    `tfsupermask.export.inference`, and holds the class names in a member
    `class_names.json` of the archive that a `.keras` file is.

    Args:
        model: Keras model; from normalised images to logits if `mean` is given.
        path: File to write, ending in `.keras`; an older one is replaced at the end.
        mean: (channels,) mean of the training images, in units of 0..1 intensity.
        std: (channels,) standard deviation likewise. Without the two, which is the
            default, the model is exported as it is.
        class_names: One name for each logit. Defaults to their numbers.

    Returns:
        The file.

    Raises:
        InputError: `path` ends otherwise, or `mean`, `std` or `class_names` do not fit.

    Example:
        >>> import tempfile
        >>> model = models.build("conv2")
        >>> path = export_keras(model, tempfile.mkdtemp() + "/subnetwork.keras")
        >>> keras.models.load_model(path)(np.zeros((2, 32, 32, 3))).shape
        TensorShape([2, 10])
    """
    preprocessing = check_preprocessing(model, mean, std, class_names)

    def write(aside):
        inference_model(model, preprocessing).save(aside)
        if preprocessing is not None:
            add_class_names(aside, preprocessing.class_names)

    return export_file(path, ".keras", write)
