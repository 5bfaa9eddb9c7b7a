"""Classifies image files.

python -m binaries.predict --path=runs/my_run cat.jpg dog.png
python -m binaries.predict --path=my_model.tflite cat.jpg
python -m binaries.predict --path=zoo:conv2_signed_constant_s0 cat.jpg
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from absl import flags

from binaries import _program
from tfsupermask import InputError, export, train
from tfsupermask._validation import fail
from tfsupermask.data import decode_image
from tfsupermask.runs import RunFolder

_IMAGES_AT_A_TIME = 64

_PATH = flags.DEFINE_string(
    "path",
    None,
    "Run folder, exported model, or a trained ticket of the zoo as zoo:NAME.",
    required=True,
)
_TOP = flags.DEFINE_integer("top", 3, "Number of classes to print for each image.", 1)


def main(argv):
    """Prints the most probable classes of each file, and an error for each bad one."""
    _program.require(argv, "Name at least one image file after the flags.")
    path = _program.existing(_PATH.value)
    _program.load_tensorflow()
    classifier = _classifier(path)
    size, *others = classifier.image_shape
    if size is None or others != [size, 3]:
        raise fail(
            "The model must take square images of three channels.",
            image_shape=classifier.image_shape,
        )
    left, good = iter(argv), 0
    while files := list(itertools.islice(left, _IMAGES_AT_A_TIME)):
        read = list(_read(files, size))
        good += len(read)
        images = np.array([image for _, image in read])
        rows = classifier.probabilities(images) if read else ()
        for (file, _), row in zip(read, rows, strict=True):
            best = np.argsort(-row, kind="stable")[: _TOP.value]
            named = [f"{classifier.class_names[i]} {row[i]:.4f}" for i in best]
            print(f"{_program.printable(file)}: {', '.join(named)}")
    if good < len(argv):
        sys.exit(1)


def _read(files, size):
    """Yields each file with its image, and prints an error for each bad one."""
    for file in files:
        try:
            yield file, decode_image(file, size)
        except InputError as error:
            print(f"error: {_program.one_line(str(error))}", file=sys.stderr)


def _classifier(path):
    """Returns the classifier in a file, or of the newest checkpoint of a run."""
    if export.is_export(path):
        return export.Classifier(path)
    try:
        return train.load_run(path)
    except InputError:  # perhaps of a network of one's own, which its export holds
        exported = RunFolder(path).saved_model
        if not exported.exists():
            raise
        return export.Classifier(exported)


if __name__ == "__main__":
    _program.start(main, takes_arguments=True)
