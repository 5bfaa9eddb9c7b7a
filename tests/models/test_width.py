"""Networks of other widths: literal shapes of kernels."""

import pytest

from tfsupermask import models
from tfsupermask.layers import supermask_layers

# By network, width and side of the images: shapes of some kernels.
SHAPES = {
    ("conv2", 0.5, 32): {
        "conv1": (3, 3, 3, 32),
        "conv2": (3, 3, 32, 32),
        "dense1": (16 * 16 * 32, 128),
        "dense2": (128, 128),
        "dense3": (128, 10),
    },
    ("conv8", 0.5, 32): {
        "conv7": (3, 3, 128, 256),
        "conv8": (3, 3, 256, 256),
        "dense1": (2 * 2 * 256, 128),
        "dense3": (128, 10),
    },
    ("conv4", 2.0, 8): {
        "conv1": (3, 3, 3, 128),
        "conv4": (3, 3, 256, 256),
        "dense1": (2 * 2 * 256, 512),
        "dense2": (512, 512),
    },
    ("alexnet", 0.5, 32): {
        "conv1": (3, 3, 3, 32),
        "conv2": (3, 3, 32, 96),
        "conv3": (3, 3, 96, 192),
        "conv5": (3, 3, 128, 128),
        "dense1": (2 * 2 * 128, 512),
        "dense2": (512, 512),
        "dense3": (512, 10),
    },
    ("vgg16", 0.5, 32): {
        "block1_conv1": (3, 3, 3, 32),
        "block3_conv1": (3, 3, 64, 128),
        "block5_conv3": (3, 3, 256, 256),
        "dense1": (256, 256),
        "dense3": (256, 10),
    },
    ("resnet18", 0.5, 32): {
        "stem_conv": (3, 3, 3, 32),
        "block1_unit1_conv1": (3, 3, 32, 32),
        "block2_unit1_shortcut": (1, 1, 32, 64),
        "block4_unit2_conv2": (3, 3, 256, 256),
        "dense": (256, 10),
    },
    # 19.2, 38.4, 76.8 and 153.6 filters; four times the rounded ones behind them.
    ("resnet50", 0.3, 8): {
        "stem_conv": (3, 3, 3, 19),
        "block1_unit1_conv1": (1, 1, 19, 19),
        "block1_unit1_conv3": (1, 1, 19, 76),
        "block1_unit1_shortcut": (1, 1, 19, 76),
        "block2_unit1_conv2": (3, 3, 38, 38),
        "block3_unit1_conv1": (1, 1, 152, 77),
        "block4_unit3_conv3": (1, 1, 154, 616),
        "dense": (616, 10),
    },
    ("resnet18", 1e-9, 8): {"stem_conv": (3, 3, 3, 1), "dense": (1, 10)},
    ("conv2", 1e-9, 8): {"conv2": (3, 3, 1, 1), "dense2": (1, 1), "dense3": (1, 10)},
}


@pytest.mark.parametrize(("name", "width", "side"), SHAPES)
def test_shapes_of_kernels(name, width, side):
    model = models.build(name, (side, side, 3), width=width)
    shapes = {
        layer.name: tuple(layer.kernel.shape) for layer in supermask_layers(model)
    }
    expected = SHAPES[name, width, side]
    assert {layer: shapes[layer] for layer in expected} == expected
    assert model.name == name
    assert model.output_shape == (None, 10)


def test_the_width_1_is_the_network_without_it():
    one, other = models.build("resnet18", width=1), models.build("resnet18")
    assert one.get_config() == other.get_config()
