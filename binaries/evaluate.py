"""Measures the top-1 and top-5 accuracy of a run or an exported model.

python -m binaries.evaluate --path=runs/my_run
python -m binaries.evaluate --path=runs/my_run/saved_model --dataset=cifar10
python -m binaries.evaluate --path=my_model.tflite --dataset=cifar10
python -m binaries.evaluate --path=zoo:conv2_signed_constant_s0
"""

from __future__ import annotations

import dataclasses
import os
import warnings

from absl import flags

from binaries import _program
from tfsupermask import data, export, tickets, train
from tfsupermask.runs import TRAINING_IMAGES, Config, RunFolder
from tfsupermask.runs.folder import read_description

_PATH = flags.DEFINE_string(
    "path",
    None,
    "Run folder, exported model, or a trained ticket of the zoo as zoo:NAME.",
    required=True,
)
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    f"One of {', '.join(data.NAMES)} or tfds:… (default: the run's, or the one that a "
    "ticket names).",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of the images, whose test images are all used (default: the run's, with "
    "its --limit_test_images; of a ticket that of TensorFlow Datasets).",
)
_AS_IN_TRAINING = (  # by default the run's
    flags.DEFINE_float(
        "test_fraction",
        None,
        "As in training, for --dataset=folder or tfds:… (default: the run's).",
    ),
    flags.DEFINE_string(
        "train_split",
        None,
        "As in training, for --dataset=tfds:…; no image may be in it and in "
        "--test_split (default: the run's).",
    ),
    flags.DEFINE_string(
        "test_split", None, "As in training, for --dataset=tfds:… (default: the run's)."
    ),
    flags.DEFINE_enum(
        "bad_images",
        None,
        data.BAD_IMAGES,
        "As in training, for --dataset=folder (default: the run's).",
    ),
)
_SAMPLES = flags.DEFINE_integer(
    "samples",
    0,
    "For a run with --method=stochastic: number of draws of the masks to average the "
    "probabilities over (0: masks without chance).",
    0,
)


def main():
    """Prints the accuracy on the dataset's test images."""
    path = _program.existing(_PATH.value)
    _program.load_tensorflow()
    dataset = _images(path)
    means = train.evaluate_path(path, dataset, _SAMPLES.value).means("")
    print(
        f"{dataset.name}, {len(dataset.test)} test images: top-1 {means['top1']:.4f}, "
        f"top-5 {means['top5']:.4f}, loss {means['loss']:.4f}"
    )


def _images(path):
    """Returns the dataset that the flags name, or that of the run or ticket."""
    name, data_dir = _DATASET.value, _DATA_DIR.value
    given = {f.name: f.value for f in _AS_IN_TRAINING if f.value is not None}
    run = None if export.is_export(path) else train.load_run(path)
    if run and name in (None, run.config.dataset) and _is_own(data_dir, run.config):
        own = _own_images(run.config, path, given)
        if data_dir is None or run.config.limit_test_images is None:
            return own
    recipe = dataclasses.asdict(run.config) if run else _recipe(path)
    name = name or recipe.get("dataset")
    _program.require(name, "`--dataset` must be given with this exported model.")
    data.check_name("dataset", name)
    # Numbers of images do not matter here: there may be fewer.
    options = set(data.options_of(name)) - {"limit_images", "limit_test_images"}
    own = options & recipe.keys() if name == recipe.get("dataset") else ()
    fields = {option: recipe[option] for option in own} | given
    if options:
        fields["image_size"] = (run or export.Classifier(path)).image_shape[0]
    config = Config(dataset=name, data_dir=data_dir, **fields).validate()
    return train.load_images(config)


def _is_own(data_dir, config):
    """Returns whether a folder is that of a run's images."""
    if data_dir is None or config.data_dir is None:
        return data_dir is None
    return os.path.abspath(data_dir) == os.path.abspath(config.data_dir)


def _own_images(config, path, given):
    """Returns a run's images; warns if they have changed since."""
    of_run = dataclasses.replace(config, **given).validate()
    dataset = train.load_images(of_run, patterns=False)
    made_of = read_description(RunFolder(path))["data"].get("sha256")
    same = dataset.sha256 == made_of or config.pattern_images != TRAINING_IMAGES
    if not same:
        warnings.warn(
            f"The images of {config.dataset}, or how they are split, are not what they "
            "were when the run began: it may have been trained on some of the test "
            "images.",
            stacklevel=1,
        )
    return dataset


def _recipe(path):
    """Returns the recipe of a ticket, empty if there is none."""
    if path.suffix != ".ticket":
        return {}
    recipe = tickets.read_ticket_header(path).get("recipe")
    return recipe if isinstance(recipe, dict) else {}


if __name__ == "__main__":
    _program.start(main)
