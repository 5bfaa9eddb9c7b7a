"""Measures the top-1 and top-5 accuracy of a run or an exported model.

python -m binaries.evaluate --path=runs/my_run
python -m binaries.evaluate --path=runs/my_run/saved_model --dataset=cifar10
python -m binaries.evaluate --path=my_model.tflite --dataset=cifar10
python -m binaries.evaluate --path=zoo:conv2_signed_constant_s0
"""

from __future__ import annotations

import dataclasses

from absl import flags

from binaries import _program
from tfsupermask import data, export, tickets, train

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
    "data_dir", None, "Folder of the images (default: the run's)."
)
_TEST_FRACTION = flags.DEFINE_float(
    "test_fraction",
    None,
    "As in training, for --dataset=folder or tfds:… (default: the run's).",
)
_TEST_SPLIT = flags.DEFINE_string(
    "test_split", None, "As in training, for --dataset=tfds:… (default: the run's)."
)
_BAD_IMAGES = flags.DEFINE_enum(
    "bad_images",
    None,
    data.BAD_IMAGES,
    "As in training, for --dataset=folder (default: the run's).",
)
_SAMPLES = flags.DEFINE_integer(
    "samples",
    0,
    "For a run with --method=stochastic: number of draws of the masks to average the "
    "probabilities over (0: masks without chance).",
    0,
)


def main(argv):
    """Prints the accuracy on the dataset's test images."""
    _program.refuse_arguments(argv)
    path = _program.existing(_PATH.value)
    _program.load_tensorflow()
    dataset = _images(path)
    means = train.evaluate_path(path, dataset, _SAMPLES.value).means("")
    print(
        f"{dataset.name}, {len(dataset.test)} test images: top-1 {means['top1']:.4f}, "
        f"top-5 {means['top5']:.4f}, loss {means['loss']:.4f}"
    )


def _images(path):
    """Returns the dataset that the flags name, or that of the run."""
    name, data_dir = _DATASET.value, _DATA_DIR.value
    given = {
        "test_fraction": _TEST_FRACTION.value,
        "test_split": _TEST_SPLIT.value,
        "bad_images": _BAD_IMAGES.value,
    }
    given = {option: value for option, value in given.items() if value is not None}
    run = None if export.is_export(path) else train.load_run(path)
    if run and name in (None, run.config.dataset):
        config = dataclasses.replace(run.config, **given).validate()
        return train.load_images(config, data_dir, patterns=False)
    name = name or _dataset_of(path)
    _program.require(name, "`--dataset` must be given with this exported model.")
    of_any_size = bool(data.options_of(name))
    model = (run or export.Classifier(path)) if of_any_size else None
    return data.load(name, data_dir, model and model.image_shape[0], **given)


def _dataset_of(path):
    """Returns the dataset that a ticket's recipe names, `None` without one."""
    if path.suffix != ".ticket":
        return None
    recipe = tickets.read_ticket_header(path).get("recipe")
    return recipe.get("dataset") if isinstance(recipe, dict) else None


if __name__ == "__main__":
    _program.start(main)
