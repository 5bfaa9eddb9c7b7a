"""Default hyper-parameters by dataset and model."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from tfsupermask.layers import get_method, method_names
from tfsupermask.patches import SAMPLES_PER_IMAGE
from tfsupermask.runs.config import (
    GIVEN,
    PATCH_INITS,
    PATTERN_INITS,
    TRAINING_IMAGES,
    Config,
)

# Thesis §5.2, for Conv2, Conv4 and Conv6 on CIFAR-10 and CIFAR-100.
THESIS = {
    "epochs": 100,
    "batch_size": 128,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "num_patches": 50_000,
    "num_clusters": 500,
}
# Frankle and Carbin, 2019, Figure 2.
ADAM = {"momentum": None, "weight_decay": 0.0}
ADAM_RATES = {"conv2": 2e-4}
ADAM_RATE = 3e-4
# A minute on two cores with conv2.
DIGITS = {**THESIS, "epochs": 10, "batch_size": 64, "num_patches": 20_000}
# Thesis §5.2, for ResNet-18.
TINY_IMAGENET = {
    "epochs": 100,
    "batch_size": 256,
    "learning_rate": 0.256,
    "momentum": 0.875,
    "weight_decay": 1e-5,
    "num_patches": 100_000,
    "num_clusters": 1000,
}
# Ramanujan et al., 2020, for ResNet-50 on ImageNet, as their repository sets it.
IMAGENET = {
    **TINY_IMAGENET,
    "weight_decay": 3.0517578125e-05,
    "crop": "resized",
    "warmup_epochs": 5,
    "label_smoothing": 0.1,
}
RECIPES = {
    "cifar10": THESIS,
    "cifar100": THESIS,
    "digits": DIGITS,
    "folder": THESIS,
    "tiny_imagenet": TINY_IMAGENET,
    "tfds:imagenet2012": IMAGENET,
}
# Thesis §5.2 for ResNet-18; layers with more than 500 filters need more clusters.
DEEP = {"num_patches": 100_000, "num_clusters": 1000}
SIMPLE_NUM_PATCHES = 10_000  # thesis Table 5.3
# The defaults of the other fields that an initialisation's name stands for.
PRESETS = {
    "partial_patches": {"patch_blocks": 1},
    "whitened_patches": {  # the best of docs/beyond.md
        "rest": "signed_constant",
        "cluster_space": "whitened",
        "filter_space": "whitened",
        "rescale": "unit_power",
    },
}
FOLDER_IMAGE_SIZE = 64
# Of datasets of one size, or a usual one; others are taken for 32 pixels.
_SIDES = {"folder": FOLDER_IMAGE_SIZE, "tiny_imagenet": 64, "tfds:imagenet2012": 224}
# How much smaller than the image the smallest map is that a convolution makes.
_SHRINKING = {"conv4": 2, "conv6": 4, "conv8": 8, "alexnet": 8, "vgg16": 16}


def described_default(field: str) -> str:
    """Returns in words where a field's default comes from, empty if it has one.

    Args:
        field: A field's name.

    Example:
        >>> described_default("label_smoothing")
        '(default: 0.1 with tfds:imagenet2012)'
    """
    sources = {
        **RECIPES,
        "other networks than conv2, conv4 and conv6": DEEP,
        "--init=simple_patches": {"num_patches": SIMPLE_NUM_PATCHES},
        "--optimizer=adam": {**ADAM, "learning_rate": ADAM_RATE},
        **{
            f"--optimizer=adam and {model}": {"learning_rate": rate}
            for model, rate in ADAM_RATES.items()
        },
        **{f"--method={name}": get_method(name).recipe for name in method_names()},
    }
    found: dict[Any, list[str]] = {}
    for name, recipe in sources.items():
        if recipe.get(field) is not None:
            found.setdefault(recipe[field], []).append(name)
    words = [f"{value} with {', '.join(names)}" for value, names in found.items()]
    return f"(default: {'; '.join(words)})" if words else ""


def resolve(
    config: Config,
    num_images: int,
    num_pattern_images: int | None = None,
    side: int | None = None,
) -> Config:
    """Returns the config with the recipe's values in place of `None`.

    Args:
        config: A valid config.
        num_images: Number of training images, at least 1. It limits the
            defaults of `num_patches` and `num_clusters`, which grow with the network's
            width, and that of `batch_size`, which is even, so that two replicas can
            share it.
        num_pattern_images: Number of images that patterns come from. Defaults to
            `num_images`.
        side: Side of the images in pixels, which limits `num_patches` as well. Defaults
            to the config's, else to the dataset's usual one.

    Returns:
        A valid config; fields that do not apply to it stay `None`.

    Raises:
        InputError: A given value contradicts the recipe's, for example a
            `stop_after_epoch` beyond the recipe's `epochs`.

    Example:
        >>> resolve(Config(model="conv6", dataset="cifar10"), 50_000).learning_rate
        0.1
    """
    defaults = dict(RECIPES.get(_recipe_name(config.dataset), THESIS))
    if config.model not in ("conv2", "conv4", "conv6"):
        defaults |= DEEP
    for name in DEEP:
        defaults[name] = math.ceil(defaults[name] * max(1, config.width))
    defaults |= get_method(config.method).recipe
    if config.optimizer == "adam":
        rate = ADAM_RATES.get(config.model, ADAM_RATE)
        defaults |= {**ADAM, "learning_rate": rate}
    if config.weights_are_given:
        config = dataclasses.replace(config, init=GIVEN)
    if config.init not in PATCH_INITS:
        del defaults["num_patches"], defaults["num_clusters"]
    elif config.init == "simple_patches":
        defaults["num_patches"] = SIMPLE_NUM_PATCHES
        del defaults["num_clusters"]
    defaults |= PRESETS.get(config.init, {})
    if config.pattern_images != TRAINING_IMAGES and config.init in PATTERN_INITS:
        defaults["select"] = "random"
    if "num_patches" in defaults:
        offered = (num_pattern_images or num_images) * _patches_an_image(config, side)
        if config.double_from is not None:
            offered //= 2
        defaults["num_patches"] = min(defaults["num_patches"], offered)
        if "num_clusters" in defaults:
            most = config.num_patches or defaults["num_patches"]
            defaults["num_clusters"] = min(defaults["num_clusters"], most)
    if "warmup_epochs" in defaults:
        epochs = config.epochs or defaults["epochs"]
        defaults["warmup_epochs"] = min(defaults["warmup_epochs"], epochs // 20)
    in_epoch = num_images * config.passes_per_epoch
    most = max(1, in_epoch - in_epoch % 2)
    defaults["batch_size"] = min(defaults["batch_size"], most)
    if config.dataset == "folder":
        defaults["image_size"] = FOLDER_IMAGE_SIZE
    missing = {
        name: value for name, value in defaults.items() if getattr(config, name) is None
    }
    config = dataclasses.replace(config, **missing)
    if get_method(config.method).ramps and not config.ramp_epochs:
        config = dataclasses.replace(config, ramp_epochs=config.epochs // 2)
    return config.validate()


def _patches_an_image(config, side):
    """Returns the number of patches that each image offers to every convolution."""
    usual = _SIDES.get(_recipe_name(config.dataset), 32)
    side = side or config.image_size or usual
    # The first layer's patches lie inside the image.
    most = min(SAMPLES_PER_IMAGE, max(1, side - 2) ** 2)
    in_first_block = 5 if config.model.startswith("resnet") else 2
    if (config.patch_layers or math.inf) <= in_first_block or (
        config.init == "partial_patches" and (config.patch_blocks or 1) == 1
    ):
        return most  # the first maps are large
    if config.model.startswith("resnet"):
        pooled = side // 2 if 48 < side <= 128 else side
        rows = math.ceil(pooled / (32 if side > 128 else 8))  # strides round up
    else:
        rows = max(1, side // _SHRINKING.get(config.model, 1))
    return min(most, rows**2)


def _recipe_name(dataset):
    """Returns a dataset's name without its configuration and version."""
    return ":".join(dataset.split("/")[0].split(":")[:2])
