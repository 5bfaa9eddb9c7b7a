"""Images that come from Python: arrays, or a `tf.data.Dataset`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfsupermask._validation import check_choice, check_integer, fail
from tfsupermask.data.dataset import Dataset, Split
from tfsupermask.data.images import as_square
from tfsupermask.data.storage import Storage, decoded

NAME = "given"
_MAX_LABEL = 99_999


def load(**_: Any) -> Dataset:
    """Raises InputError: these images have no name."""
    raise fail(
        f"The images of the dataset '{NAME}' come from Python, by "
        "`train.run(config, dataset=…)`; they cannot be loaded by name.",
        dataset=NAME,
    )


def from_examples(
    train: Any,
    test: Any,
    validation: Any = None,
    *,
    unlabelled: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    image_size: int | None = None,
    flip: bool = True,
    images_in: str = "auto",
    cache_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Returns a dataset of arrays, or of what `tf.data` yields.

    Args:
        train: Images and labels to train on: a pair of arrays, uint8 (n, height, width)
            or (n, height, width, 1 or 3), or a list of images, and integers (n,) or
            (n, 1); or a `tf.data.Dataset` that yields pairs, or dicts with `"image"`
            and `"label"`, of single examples. It must end, and give as many when it is
            read again. Labels are below 100,000.
        test: The same, to test on.
        validation: The same, for choices between settings. Defaults to none.
        unlabelled: Images without labels, an array as in `train`, from which patterns
            are to come in place of the training images. Defaults to none.
        class_names: The name of each class. Defaults to `"0"`, `"1"`, and so on.
        image_size: Side of the images in pixels; others are scaled and cropped as by
            `decode_image`. Defaults to the size of the first training image, if square.
        flip: Whether a mirrored image still belongs to its class. Defaults to `True`.
        images_in: `"memory"`, `"disk"` or `"auto"` (default), as for `load`; files on
            disk last as long as the `Dataset`.
        cache_dir: Folder for them. Defaults to `~/.cache/tfsupermask`.

    Returns:
        A `Dataset` with the name `"given"`.

    Raises:
        InputError: Images or labels are none of these.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
        >>> labels = np.arange(30) % 3
        >>> mine = from_examples((images[:20], labels[:20]), (images[20:], labels[20:]))
        >>> len(mine.train), mine.num_classes
        (20, 3)
    """
    storage = Storage(images_in, cache_dir)
    if image_size is None:
        image_size = _side(train)
    check_integer("image_size", image_size, 1)
    check_choice("flip", flip, (False, True))
    given = {"train": train, "validation": validation, "test": test}
    splits = {
        name: _split(name, examples, image_size, storage)
        for name, examples in given.items()
        if examples is not None
    }
    if unlabelled is not None:
        if not isinstance(unlabelled, np.ndarray):
            kind = type(unlabelled).__name__
            raise fail("`unlabelled` must be an array of images.", type=kind)
        examples = unlabelled, np.zeros(unlabelled.shape[:1], int)
        unlabelled = _split("unlabelled", examples, image_size, storage).images
    if class_names is None:
        most = max(split.labels.max(initial=0) for split in splits.values())
        class_names = tuple(map(str, range(most + 1)))
    if isinstance(class_names, Iterable):
        class_names = tuple(class_names)
    return Dataset(
        NAME,
        **splits,
        class_names=class_names,
        horizontal_flip=flip,
        unlabelled=unlabelled,
    )


def _side(train):
    """Returns the side of the first training image."""
    image, _ = next(_examples("train", train), (None, 0))
    if image is None:
        raise fail("`train` must hold images.", images=0)
    height, width = image.shape[:2]
    if height != width:
        raise fail(
            "`data.from_examples` needs `image_size`, as the first image is no square.",
            shape=image.shape,
        )
    return height


def _split(name, examples, size, storage):
    def decode(example):
        image, label = example
        return as_square(image, size), label

    images, labels = storage.hold(
        (_count(name, examples), size, size, 3),
        lambda: decoded(_examples(name, examples), (size, size, 3), decode),
        None,
    )
    return Split(images, np.array(labels, np.int64))


def _count(name, examples):
    if not _is_tf_data(examples):
        return len(_arrays(name, examples)[0])
    import tensorflow as tf

    count = int(examples.cardinality())
    if count == tf.data.INFINITE_CARDINALITY:
        raise fail(f"`{name}` must end.", cardinality="infinite")
    if count == tf.data.UNKNOWN_CARDINALITY:
        count = int(examples.reduce(np.int64(0), lambda number, *_: number + 1))
    return count


def _examples(name, examples) -> Iterator[tuple[np.ndarray, int]]:
    """Yields uint8 images (height, width, 1 or 3) and their labels."""
    if _is_tf_data(examples):
        pairs = map(_pair, examples.as_numpy_iterator())
    else:
        pairs = zip(*_arrays(name, examples), strict=True)
    for image, label in pairs:
        image, label = np.asarray(image), np.asarray(label)
        if image.ndim == 2:
            image = image[..., None]
        if label.shape == (1,):  # Keras' own datasets have labels (n, 1)
            label = label[0]
        pixels = image.dtype == np.uint8 and image.ndim == 3 and image.size
        if not pixels or image.shape[2] not in (1, 3):
            raise fail(
                f"`{name}` must have uint8 images (height, width, 1 or 3), one by one.",
                dtype=str(image.dtype),
                shape=image.shape,
            )
        integer = label.dtype.kind in "ui" and not label.ndim
        if not integer or not 0 <= label <= _MAX_LABEL:
            raise fail(
                f"`{name}` must have integers from 0 to {_MAX_LABEL:,} as labels.",
                label=label.tolist(),
            )
        yield image, int(label)


def _is_tf_data(examples):
    return hasattr(examples, "as_numpy_iterator")


def _pair(element):
    if isinstance(element, dict) and {"image", "label"} <= element.keys():
        return element["image"], element["label"]
    if isinstance(element, tuple) and len(element) == 2:
        return element
    raise fail(
        "A `tf.data.Dataset` must yield pairs of image and label, or dicts with "
        "'image' and 'label'.",
        element=type(element).__name__,
    )


def _arrays(name, examples):
    try:
        images, labels = () if isinstance(examples, Mapping) else examples
        if isinstance(images, list):  # perhaps of several sizes
            images = np.fromiter(map(np.asarray, images), object, len(images))
        images, labels = np.asarray(images), np.asarray(labels)
    except (TypeError, ValueError) as error:
        raise fail(
            f"`{name}` must be a pair of arrays, images and labels, or a "
            "`tf.data.Dataset`.",
            type=type(examples).__name__,
        ) from error
    number = images.shape[:1]
    if labels.shape not in (number, (*number, 1)) or not labels.ndim:
        raise fail(
            f"`{name}` must have one label an image.",
            images=images.shape,
            labels=labels.shape,
        )
    return images, labels
