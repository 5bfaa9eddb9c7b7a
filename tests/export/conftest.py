import functools

import keras
import numpy as np
import pytest

from tfsupermask import layers, models

MEAN, STD = np.float32([0.5, 0.4, 0.3]), np.float32([0.2, 0.25, 0.3])
NAMES = tuple(f"größe {i}" for i in range(10))


def uint8_images(count, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)


def normalised(images):
    return (images / np.float32(255) - MEAN) / STD


def conv2():
    return models.build("conv2", (8, 8, 3), sparsity=0.7)


refused_conv2 = functools.cache(conv2)


def narrow_resnet():
    """ResNet's parts, batch normalisation and shortcuts, in a small way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.resnet, "_FILTERS", (8, 12, 16, 24))
        build = functools.partial(models.resnet._build, "narrow", models.resnet._basic)
        options = {"num_classes": 10, "sparsity": 0.5, "method": "edge_popup"}
        return build((1, 1, 1, 1), input_shape=(8, 8, 3), seed=0, **options)


def separable():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.SupermaskConv2D(8, 3, strides=2, padding="same", use_bias=True),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(6.0),
            layers.SupermaskDepthwiseConv2D(3, padding="same"),
            layers.SupermaskSeparableConv2D(24, 3, sparsity=(0.2, 0.7)),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.5),
            layers.SupermaskDense(10, sparsity=0.3, use_bias=True),
        ]
    )


MAKE = {"conv2": conv2, "narrow_resnet": narrow_resnet, "separable": separable}


@pytest.fixture(scope="session", params=MAKE)
def trained(request):
    """A model of each kind, with batch statistics and biases as training leaves."""
    keras.utils.set_random_seed(0)
    model = MAKE[request.param]()
    for _ in range(3):
        model(normalised(uint8_images(32)), training=True)
    for layer in model.layers:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(np.linspace(-1, 1, layer.bias.shape[0]))
    return model
