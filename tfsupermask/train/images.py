"""The images of a run."""

from __future__ import annotations

from collections.abc import Callable

from tfsupermask import data
from tfsupermask.data import Dataset
from tfsupermask.runs import Config


def load_images(
    config: Config,
    data_dir: str | None = None,
    load: Callable[..., Dataset] | None = None,
) -> Dataset:
    """Returns the images that a config names: those of which a run has a fingerprint.

    Args:
        config: A valid config, resolved or not.
        data_dir: Folder of the images. Defaults to the config's.
        load: Loads a dataset, as `tfsupermask.data.load` (default) does.

    Returns:
        The dataset, `config.validation_images` in place of the test images and cut to
        `config.limit_images`.

    Raises:
        DataNotFoundError: The files are not there and cannot be downloaded.
        InputError: They cannot be used, or are too few for what the config asks for.

    Example:
        >>> len(load_images(Config(limit_images=100)).train)
        100
    """
    dataset = (load or data.load)(
        config.dataset, data_dir or config.data_dir, config.image_size
    )
    if config.validation_images is not None:
        dataset = data.hold_out(dataset, config.validation_images)
    if config.limit_images is not None:
        dataset = data.limit(dataset, config.limit_images)
    return dataset
