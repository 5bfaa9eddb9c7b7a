import keras
import pytest

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.export import fold
from tfsupermask.models import convolution_blocks


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv2", ["conv1 conv2"]),
        ("conv6", ["conv1 conv2", "conv3 conv4", "conv5 conv6"]),
        ("alexnet", ["conv1", "conv2", "conv3 conv4 conv5"]),
        (
            "vgg16",
            [
                " ".join(f"block{block}_conv{index + 1}" for index in range(count))
                for block, count in enumerate((2, 2, 3, 3, 3), start=1)
            ],
        ),
        (
            "resnet18",
            [
                "stem_conv " * (block == 1)
                + " ".join(f"block{block}_unit{u}_conv{i}" for u in "12" for i in "12")
                for block in (1, 2, 3, 4)
            ],
        ),
    ],
)
@pytest.mark.usefixtures("narrow")
def test_blocks(name, expected):
    found = convolution_blocks(models.build(name))
    assert found == [block.split() for block in expected]


@pytest.mark.parametrize("name", ["conv4", "resnet50"])
@pytest.mark.usefixtures("narrow")
def test_together_they_are_all_larger_convolutions_in_layer_order(name):
    model = models.build(name)
    assert convolution_blocks(fold(model)) == convolution_blocks(model)
    found = [each for block in convolution_blocks(model) for each in block]
    assert found == [
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size != (1, 1)
    ]


def sequential(*layers):
    return keras.Sequential([keras.Input((8, 8, 3)), *layers], name="mine")


def conv(name, size=3):
    return keras.layers.Conv2D(2, size, name=name)


def pool(name):
    return keras.layers.MaxPooling2D(name=name)


def test_models_named_alike():
    squeeze = [conv("block2_squeeze", 1), keras.layers.BatchNormalization()]
    stem = [conv("stem_conv"), pool("stem_pool")]
    model = sequential(*stem, *squeeze, conv("block2_expand", 2))
    assert convolution_blocks(model) == [["stem_conv"], ["block2_expand"]]


@pytest.mark.parametrize(
    ("layers", "unknown"),
    [
        (lambda: [conv("first")], ["first"]),
        (lambda: [conv("conv1"), pool("shrink"), conv("conv2")], ["shrink"]),
        (
            lambda: [
                conv("conv1"),
                keras.Sequential([keras.layers.Dense(2)], name="head"),
            ],
            ["head"],
        ),
        (lambda: [keras.layers.Dense(2)], []),
        (lambda: [conv("conv1", 1)], []),
    ],
)
def test_refuses_other_models(layers, unknown):
    with pytest.raises(InputError) as error:
        convolution_blocks(sequential(*layers()))
    assert str(error.value) == (
        "`model` must have convolutions larger than 1x1, named with its max poolings "
        "as the models of `tfsupermask.models.build` name theirs. "
        f"Received: model='mine', unknown={unknown}"
    )
