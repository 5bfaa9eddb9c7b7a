import keras
import pytest

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.export import fold
from tfsupermask.models import convolution_blocks


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv2", [["conv1", "conv2"]]),
        ("conv4", [["conv1", "conv2"], ["conv3", "conv4"]]),
        ("conv6", [["conv1", "conv2"], ["conv3", "conv4"], ["conv5", "conv6"]]),
        ("alexnet", [["conv1"], ["conv2"], ["conv3", "conv4", "conv5"]]),
        (
            "vgg16",
            [
                [f"block{block}_conv{index}" for index in range(1, count + 1)]
                for block, count in enumerate((2, 2, 3, 3, 3), start=1)
            ],
        ),
        (
            "resnet18",
            [
                ["stem_conv"] * (block == 1)
                + [f"block{block}_unit{u}_conv{i}" for u in (1, 2) for i in (1, 2)]
                for block in (1, 2, 3, 4)
            ],
        ),
    ],
)
@pytest.mark.usefixtures("narrow")
def test_blocks(name, expected):
    assert convolution_blocks(models.build(name)) == expected


@pytest.mark.parametrize("name", models.names())
@pytest.mark.usefixtures("narrow")
def test_together_they_are_all_larger_convolutions_in_layer_order(name):
    model = models.build(name)
    found = [each for block in convolution_blocks(model) for each in block]
    assert found == [
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size != (1, 1)
    ]


def test_folded_models_have_the_same_blocks():
    model = models.build("conv4", (8, 8, 3))
    assert convolution_blocks(fold(model)) == convolution_blocks(model)


def test_models_named_alike():
    layers = [
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(2, 3, name="stem_conv"),
        keras.layers.MaxPooling2D(name="stem_pool"),
        keras.layers.Conv2D(2, 1, name="block2_squeeze"),
        keras.layers.BatchNormalization(),
        keras.layers.Conv2D(2, 2, name="block2_expand"),
    ]
    assert convolution_blocks(keras.Sequential(layers)) == [
        ["stem_conv"],
        ["block2_expand"],
    ]


def sequential(*layers):
    return keras.Sequential([keras.Input((8, 8, 3)), *layers], name="mine")


@pytest.mark.parametrize(
    ("make", "unknown"),
    [
        (lambda: sequential(keras.layers.Conv2D(2, 3, name="first")), ["first"]),
        (
            lambda: sequential(
                keras.layers.Conv2D(2, 3, name="conv1"),
                keras.layers.MaxPooling2D(name="shrink"),
                keras.layers.Conv2D(2, 3, name="conv2"),
            ),
            ["shrink"],
        ),
        (
            lambda: sequential(
                keras.layers.Conv2D(2, 3, name="conv1"),
                keras.Sequential([keras.layers.Dense(2)], name="head"),
            ),
            ["head"],
        ),
        (lambda: sequential(keras.layers.Dense(2)), []),
        (lambda: sequential(keras.layers.Conv2D(2, 1, name="conv1")), []),
    ],
)
def test_refuses_other_models(make, unknown):
    with pytest.raises(InputError) as error:
        convolution_blocks(make())
    assert str(error.value) == (
        "`model` must have convolutions larger than 1x1, named with its max poolings "
        "as the models of `tfsupermask.models.build` name theirs. "
        f"Received: model='mine', unknown={unknown}"
    )
