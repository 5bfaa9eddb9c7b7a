"""Loads a run from its folder, and the images of a run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from tfsupermask import data
from tfsupermask._validation import fail
from tfsupermask.data import Dataset
from tfsupermask.data.dataset import normalise
from tfsupermask.data.image_folder import has_validation
from tfsupermask.runs import ALL_IMAGES, GIVEN, TRAINING_IMAGES, Config, RunFolder
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.runs.folder import read_description
from tfsupermask.tickets.architecture import no_values
from tfsupermask.train.build import build_model, check_fits, restore


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A finished or unfinished run, read from its folder.

    Attributes:
        config: Its resolved configuration.
        model: Its Keras model with the newest checkpoint's values.
        epoch: Number of epochs behind those values.
        image_shape: (height, width, channels).
        class_names: Tuple of strings.
        mean: float32 (channels,), intensity 0..1.
        std: float32 (channels,), intensity 0..1.

    Example:
        >>> loaded = load_run("runs/my_run")
        >>> loaded.epoch, loaded.class_names
        (1, ('circle', 'cross', 'square'))
    """

    config: Config
    model: keras.Model
    epoch: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """Returns what the model takes: float32 (images / 255 - mean) / std."""
        return normalise(np.float32(images), self.mean, self.std)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Returns probabilities (n, classes) of uint8 images (n, height, width, 3)."""
        logits = self.model(self.normalise(images), training=False)
        return keras.ops.softmax(keras.ops.cast(logits, "float32")).numpy()


def load_images(
    config: Config,
    data_dir: str | None = None,
    load: Callable[..., Dataset] | None = None,
    patterns: bool = True,
) -> Dataset:
    """Returns the images that a config names, as its run trains and evaluates on them.

    Args:
        config: A valid config, resolved or not.
        data_dir: Folder of the images. Defaults to the config's.
        load: Loads a dataset, as `tfsupermask.data.load` (default) does.
        patterns: Whether to load the images that `config.pattern_images` names, which
            initialisation alone needs. Defaults to `True`.

    Returns:
        The dataset, with `config.validation_images` held out of the training images
        unless it has validation images of its own, and with `config.limit_images` of
        the others.

    Raises:
        DataNotFoundError: The files are not there and cannot be downloaded.
        InputError: They cannot be used, are fewer than the config asks for, or have
            another number of validation images.

    Example:
        >>> len(load_images(Config(limit_images=100)).train)
        100
    """
    options = config.load_options
    where = data_dir or config.data_dir
    if options.get("limit_images") is not None and (
        config.pattern_images == ALL_IMAGES
        or (config.validation_images is not None and not has_validation(where))
    ):
        del options["limit_images"]  # it is of those that are left afterwards
    dataset = (load or data.load)(config.dataset, where, config.image_size, **options)
    if dataset.validation is None and config.validation_images is not None:
        dataset = data.hold_out(dataset, config.validation_images)
    elif config.validation_images not in (None, len(dataset.validation or ())):
        raise fail(
            f"{dataset.name} has validation images of its own; leave "
            "`validation_images` out.",
            validation_images=config.validation_images,
            found=len(dataset.validation),
        )
    if patterns:
        dataset = _with_pattern_images(dataset, config)
    for split, name in (("train", "limit_images"), ("test", "limit_test_images")):
        limit = getattr(config, name)
        if limit is not None:
            dataset = data.limit(dataset, limit, split)
    return dataset


def _with_pattern_images(dataset, config):
    """Adds the images without labels from which the config's patterns come."""
    source = config.pattern_images
    if dataset.unlabelled is not None:
        if source in (TRAINING_IMAGES, GIVEN):
            return dataset
        raise fail(
            "`pattern_images` must be left out where `dataset` has images without "
            "labels.",
            pattern_images=source,
        )
    if source == TRAINING_IMAGES:
        return dataset
    if source == ALL_IMAGES:
        images = dataset.train.images
    elif not os.path.isdir(source):
        raise fail(
            f"`pattern_images` must be {TRAINING_IMAGES}, {ALL_IMAGES} or a folder.",
            pattern_images=source,
        )
    else:
        places = config.bad_images, config.images_in, config.cache_dir
        images = data.read_images(source, dataset.image_shape[0], *places)
    return dataclasses.replace(dataset, unlabelled=images)


def load_run(path: str | Path) -> LoadedRun:
    """Reads a run folder, without its dataset.

    Args:
        path: The run folder.

    Returns:
        The run, with the newest checkpoint's values and masks.

    Raises:
        InputError: It holds no run, or no intact checkpoint.

    Example:
        >>> load_run("runs/my_run").model.name
        'conv2'
    """
    folder = RunFolder(Path(path))
    if not folder.config.is_file():
        raise fail("`path` must be the folder of a run.", path=str(path))
    description = read_description(folder)
    saved = checkpoints.restore_latest(folder.checkpoints)
    if saved is None:
        raise fail("The run must have an intact checkpoint.", path=str(path))
    config, images = Config(**description["config"]), description["data"]
    shape, names = tuple(images["image_shape"]), tuple(images["class_names"])
    with no_values():
        # A model that is larger than the checkpoint is refused before it takes memory.
        check_fits(saved, build_model(config, shape, len(names)))
    model = build_model(config, shape, len(names))
    restore(config, saved, model)
    normalisation = np.float32(images["mean"]), np.float32(images["std"])
    return LoadedRun(config, model, saved.epoch, shape, names, *normalisation)
