"""Datasets of TensorFlow Datasets: downloaded and prepared once, then read."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsupermask._validation import InputError, check_integer, fail
from tfsupermask.data.dataset import DataNotFoundError, Dataset, Split, check_fixed_size
from tfsupermask.data.image_folder import DEFAULT_IMAGE_SIZE, TEST_FRACTION
from tfsupermask.data.images import UnreadableImageError, decode_square
from tfsupermask.data.storage import Storage, decoded, file_states

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

PREFIX = "tfds:"
NAME = re.compile(r"tfds:\w+(/[\w.-]+)?(:[0-9*.]+)?")
_CIFAR = {"cifar10": 32, "cifar100": 32}
_LARGE = {"imagenet2012": 224}
# What is another thing in the mirror.
_NOT_MIRRORED = {"mnist", "emnist", "kmnist", "svhn_cropped", "binary_alpha_digits"}
_NOT_MIRRORED |= {"cmaterdb", "omniglot", "mnist_corrupted"}
# Labels of their test images were never published.
_TEST_SPLITS = {"imagenet2012": "validation"}
_PROBE_SECONDS = 5
_MAX_REASON = 300


def load(
    name: str,
    data_dir: str | os.PathLike | None,
    image_size: int | None,
    *,
    train_split: str | None = None,
    test_split: str | None = None,
    test_fraction: float = TEST_FRACTION,
    flip: bool = True,
    storage: Storage,
) -> Dataset:
    """Returns `"NAME[/CONFIG][:VERSION]"`, which TensorFlow Datasets prepared.

    Reading starts TensorFlow's runtime, so a program with several workers must make its
    `tf.distribute` strategy before. Images have the order of the files. Prepared data
    is read without network; missing data is first downloaded and prepared. A failed
    download leaves `data_dir` as it was.
    docs/images.md says what the options default to.
    """
    short = _short(name)
    if short in _CIFAR:
        check_fixed_size(short, image_size, _CIFAR[short])
    elif image_size is not None:
        check_integer("image_size", image_size, 1)
    if name in _CIFAR and not (train_split or test_split):
        train_split, test_split = "train", "test"  # without one, its copy is damaged
    builder = prepared(name, data_dir)
    with explaining_damage(builder.name, builder.data_dir):
        image, label = _features(builder)
        feature = builder.info.features[label]
        splits = _splits(builder, train_split, test_split, test_fraction)
        height, width = builder.info.features[image].shape[:2]
        own_size = height if height == width else None
    size = image_size or own_size or _LARGE.get(short, DEFAULT_IMAGE_SIZE)
    return Dataset(
        name=name if name in _CIFAR else PREFIX + name,
        **{
            kind: _read(builder, (image, label), size, storage, split)
            for kind, split in splits.items()
        },
        class_names=tuple(feature.names or map(str, range(feature.num_classes))),
        horizontal_flip=is_mirrored(name, flip),
    )


def is_mirrored(name: str, flip: bool) -> bool:
    """Returns whether training mirrors the images of a dataset of TFDS."""
    return flip and _short(name) not in _NOT_MIRRORED


def _short(name):
    return re.split("[/:]", name.removeprefix(PREFIX))[0]


def prepared(
    name: str, data_dir: str | os.PathLike | None, alternatives: Sequence[str] = ()
) -> tfds.core.DatasetBuilder:
    """Returns the builder of a dataset, prepared now if need be.

    `alternatives` were not found in `data_dir` either, which an error then says.
    """
    with _logs_from(logging.WARNING):
        builder = _open(name, data_dir)
        if not builder.data_path.exists():
            _download(name, builder, data_dir, alternatives)
            builder = _open(name, data_dir)
        return builder


def resolve_root(data_dir: str | os.PathLike | None) -> str | os.PathLike:
    """Returns `data_dir`, or for `None` the default folder of TensorFlow Datasets."""
    if data_dir is not None:
        return data_dir
    import tensorflow_datasets as tfds

    return os.path.expanduser(tfds.core.constants.DATA_DIR)


def examples(
    builder: tfds.core.DatasetBuilder,
    split: str,
    features: Sequence[str],
    encoded: bool = True,
) -> Iterator[list[Any]]:
    """Yields features of a split's examples, in the order of the files.

    Images stay encoded by default: TensorFlow decodes JPEG faster and less exactly than
    OpenCV.
    """
    import tensorflow_datasets as tfds

    images = [
        name
        for name in features
        if encoded and isinstance(builder.info.features[name], tfds.features.Image)
    ]
    options = {
        "shuffle_files": False,
        "read_config": tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        "decoders": tfds.decode.PartialDecoding(
            dict.fromkeys(features, True),
            decoders={name: tfds.decode.SkipDecoding() for name in images},
        ),
    }
    with _logs_from(logging.ERROR), explaining_damage(builder.name, builder.data_dir):
        found = builder.as_dataset(split=split, **options)
        for example in found.as_numpy_iterator():
            yield [example[name] for name in features]


def state(builder: tfds.core.DatasetBuilder) -> list[Any]:
    """Returns what changes when the prepared data does."""
    return file_states(sorted(pathlib.Path(builder.data_dir).iterdir()))


def _read(builder, features, size, storage, split):
    # Copies of CIFAR in JPEG have the pixels that TensorFlow Datasets gives everyone.
    as_stored = builder.name not in _CIFAR

    def decode(example):
        encoded, label = example
        if isinstance(encoded, np.ndarray):
            return encoded, int(label)
        try:
            return decode_square(encoded, size)[0], int(label)
        except UnreadableImageError as error:
            why = f"of an image, {error}"
            raise _damage(builder.name, builder.data_dir, why) from error

    shape = (size, size, 3)
    images, labels = storage.hold(
        (builder.info.splits[split].num_examples, *shape),
        lambda: decoded(examples(builder, split, features, as_stored), shape, decode),
        [state(builder), split, features, as_stored],
    )
    if min(labels, default=0) < 0:
        raise fail(
            f"The split must have labels; choose others by `train_split` and "
            f"`test_split` from {', '.join(builder.info.splits)}.",
            split=split,
        )
    return Split(images, np.array(labels, np.int64))


def _features(builder):
    """Returns the names of the image and of the label."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    known = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    chosen = []
    for kind, usual in (
        (tfds.features.Image, "image"),
        (tfds.features.ClassLabel, "label"),
    ):
        names = [name for name, feature in known.items() if type(feature) is kind]
        if len(names) != 1 and usual not in names:
            raise fail(
                f"{builder.name} must have one feature of the type {kind.__name__}, or "
                f"one of them called '{usual}'.",
                found=names,
                features=sorted(known),
            )
        chosen.append(usual if usual in names else names[0])
    if known[chosen[0]].np_dtype not in (np.uint8, np.uint16):
        raise fail(
            f"{builder.name} must have images of integers of 8 or 16 bits.",
            dtype=np.dtype(known[chosen[0]].np_dtype).name,
        )
    return tuple(chosen)


def _splits(builder, train, test, test_fraction):
    """Returns the name of each split in the notation of TensorFlow Datasets."""
    there = builder.info.splits
    test = test or _TEST_SPLITS.get(builder.name)
    if not there:
        raise _damage(builder.name, builder.data_dir, "it has no splits")
    splits = {"train": train or "train", "test": test}
    if test is None:
        names = ("test", "validation", "val", "valid")
        found = [name for name in names if name in there and name != train]
        if found:
            splits["test"] = found[0]
        elif train is None and "train" in there:
            all_images = there["train"].num_examples
            number = round(test_fraction * all_images)
            if not 0 < number < all_images:
                raise fail(
                    "`test_fraction` must give images to train on and to test on.",
                    test_fraction=test_fraction,
                    images=all_images,
                )
            splits = {"train": f"train[:-{number}]", "test": f"train[-{number}:]"}
        if found[:1] == ["test"] and found[1:] and train is None:
            splits["validation"] = found[1]
    for kind, split in splits.items():
        count = 0
        with contextlib.suppress(Exception):  # KeyError, ValueError, its own
            count = there[split].num_examples if split else 0
        if count <= 0:
            sizes = [f"{name} ({info.num_examples:,})" for name, info in there.items()]
            raise fail(
                f"`{kind}_split` must name images of {builder.name} as TensorFlow "
                f"Datasets does; there are: {', '.join(sizes)}.",
                **{f"{kind}_split": split},
            )
    _check_apart(builder, splits)
    return splits


def _check_apart(builder, splits):
    """Raises if an image is in two splits."""
    import tensorflow_datasets as tfds

    sizes, parts = builder.info.splits, []
    for kind, split in splits.items():
        for part in tfds.core.ReadInstruction.from_spec(split).to_absolute(sizes):
            images = range(sizes[part.splitname].num_examples)[part.from_ : part.to]
            parts.append((kind, part.splitname, images))
    for (kind, name, one), (other, other_name, two) in itertools.combinations(parts, 2):
        common = one.start < two.stop and two.start < one.stop
        if kind != other and name == other_name and common:
            raise fail(
                "No image may be in two splits.",
                **{f"{each}_split": splits[each] for each in (kind, other)},
            )


def _open(name, data_dir):
    import tensorflow_datasets as tfds

    folder = os.path.join(resolve_root(data_dir), name)
    with explaining_damage(name, folder):
        try:
            return tfds.builder(name, data_dir=data_dir)
        except tfds.core.DatasetNotFoundError as error:
            raise DataNotFoundError(
                f"TensorFlow Datasets has no {name!r}, and it is not in {folder!r}. "
                f"Received: data_dir={None if data_dir is None else str(data_dir)!r}"
            ) from error
        except (AssertionError, ValueError) as error:
            if os.path.exists(folder):
                raise
            raise fail(
                "TensorFlow Datasets must know the name, its configuration and its "
                f"version ({_summary(error)}).",
                dataset=name,
            ) from error


def _download(name, builder, data_dir, alternatives):
    """Prepares the dataset in a scratch folder, then moves it to its place."""
    import tensorflow_datasets as tfds

    target = pathlib.Path(os.path.abspath(builder.data_dir))
    root = pathlib.Path(os.path.abspath(resolve_root(data_dir)))
    # Archives that only the user may download are where tfds looks for them.
    config = tfds.download.DownloadConfig(manual_dir=root / "downloads" / "manual")
    try:
        if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            _check_reachable(builder.info.homepage)
        with _scratch_folder(target.parent) as scratch:
            made = tfds.builder(name, data_dir=scratch)
            made.download_and_prepare(
                download_dir=scratch / "downloads", download_config=config
            )
            # Another process may have prepared the same data at the same time.
            if not target.exists():
                os.rename(made.data_dir, target)
    except Exception as error:  # Network, disk, checksum: no common base class.
        needed = [*alternatives, str(target.relative_to(root))]
        paths = _either(str(root / each) for each in needed)
        raise DataNotFoundError(
            f"{name} was not found in {paths} and could not be downloaded "
            f"({_summary(error)}). Give --data_dir a folder that holds "
            f"{_either(needed)}, run once with network, or use "
            "--dataset=digits, which needs no download. "
            f"Received: data_dir={None if data_dir is None else str(data_dir)!r}"
        ) from error


def _either(names):
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}" if first else last


def _check_reachable(url):
    # Without network, TensorFlow Datasets would retry for over three minutes.
    import requests

    try:
        requests.head(url, timeout=_PROBE_SECONDS).raise_for_status()
    except requests.RequestException as error:
        raise ConnectionError(f"{url} cannot be reached") from error


@contextlib.contextmanager
def _scratch_folder(parent):
    """Yields a temporary folder in `parent`; removes it and empty folders it made."""
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    options = {"prefix": "incomplete.", "dir": parent, "ignore_cleanup_errors": True}
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(**options) as scratch:
            yield pathlib.Path(scratch)
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def explaining_damage(name: str, folder: str | os.PathLike) -> Iterator[None]:
    """Makes an InputError of whatever error the prepared data causes."""
    try:
        yield
    except (ImportError, InputError):
        raise
    except Exception as error:  # TensorFlow, protobuf, KeyError: no common base class.
        raise _damage(name, folder, _summary(error)) from error


def _damage(name, folder, why):
    return InputError(
        f"The prepared {name} in {str(folder)!r} cannot be read; it may be incomplete "
        f"or damaged ({why}). Remove it and prepare it anew."
    )


def _summary(error):
    """Returns the error's first line, without TensorFlow's names of graph nodes."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error)).strip()
    if not text:
        return type(error).__name__
    # The text may quote content of the files: it is escaped and cut.
    first = repr(text.splitlines()[0])[1:-1][:_MAX_REASON]
    return f"{type(error).__name__}: {first}"


@contextlib.contextmanager
def _logs_from(lowest):
    """Mutes TensorFlow Datasets' lines about its internal calls."""
    import tensorflow_datasets  # noqa: F401 - it replaces the logger named "absl".

    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(max(level, lowest))
    try:
        yield
    finally:
        logger.setLevel(level)
