"""Pictures of runs of networks that are not ours."""

import dataclasses
import io

import keras
import pytest
from keras import layers as kl

from tests.train.common import PATTERNS
from tfsupermask import convert, data, runs, train
from tfsupermask.init import PatchesInit
from tfsupermask.ops import derive_seed
from tfsupermask.patches import class_balanced_order
from tfsupermask.train.pictures import boxes_and_patches, draw_boxes_and_patches

LAYERS = {
    "nested": lambda: [keras.Sequential([kl.Conv2D(8, 3, activation="relu")])],
    "depthwise": lambda: [kl.DepthwiseConv2D(3)],
    "separable first": lambda: [kl.SeparableConv2D(8, 3), kl.Conv2D(8, 2)],
    "larger maps": lambda: [kl.UpSampling2D(3), kl.Conv2D(8, 3)],
    "more channels": lambda: [
        kl.DepthwiseConv2D(3, depth_multiplier=5),
        kl.Conv2D(8, 2),
    ],
}
FILTERS, PATCHES = "first_layer.png", "boxes_and_patches.png"


@pytest.mark.parametrize(
    ("layers", "init", "pictures"),
    [
        ("nested", "patches", {FILTERS, PATCHES}),
        ("depthwise", "patches", {PATCHES}),
        ("separable first", "patches", {PATCHES}),
        ("larger maps", "patches", {FILTERS, PATCHES}),
        ("nested", "kaiming_normal", {FILTERS}),
        ("depthwise", "kaiming_normal", set()),
        ("more channels", "kaiming_normal", {FILTERS}),
    ],
)
def test_whatever_the_convolutions_are(tmp_path, layers, init, pictures):
    def build(config, shape, num_classes):
        ends = [kl.GlobalAveragePooling2D(), kl.Dense(num_classes)]
        model = keras.Sequential([keras.Input(shape), *LAYERS[layers](), *ends])
        return convert(model, initializer="kaiming_normal", verbose=False)

    of_patches = PATTERNS if init == "patches" else {"batch_size": 32}
    fields = {**of_patches, "init": init, "epochs": 1}
    config = runs.Config(workdir=str(tmp_path), **fields)
    with train.Job.open(config, build=build) as job:
        job.train_epoch()
        job.finish()
    drawn = {file.name for file in (tmp_path / "pictures").iterdir()}
    assert drawn == {"training_curves.png", *pictures}


def test_patches_are_those_of_the_run():
    split = data.load("digits").train
    layers = [keras.Input(split.images.shape[1:]), kl.Conv2D(8, 3), kl.Flatten()]
    init = PatchesInit(300, 20, seed=3)
    report = init.apply(keras.Sequential(layers), split.images, split.labels)
    images, _, places = boxes_and_patches(split, (3, 3), seed=3, number=4, first=2)
    order = class_balanced_order(split.labels, derive_seed(3, "images"))
    assert images.tolist() == order[2:6].tolist()
    (layer,) = report.layers
    found = list(zip(layer.image, layer.row, layer.column, strict=True))
    drawn = {
        (image, *place)
        for image, each in zip(images, places, strict=True)
        for place in map(tuple, each)
    }
    among = [where in drawn for where in found if where[0] in images]
    assert among
    assert all(among)


def test_names_of_classes_are_no_formulas():
    names = [f"$100_$ {number}" for number in range(10)]
    digits = dataclasses.replace(data.load("digits"), class_names=names)
    figure = draw_boxes_and_patches(digits, (3, 3), seed=0)
    figure.savefig(io.BytesIO())
    assert {axis.get_title()[:6] for axis in figure.axes[:6]} == {"$100_$"}
