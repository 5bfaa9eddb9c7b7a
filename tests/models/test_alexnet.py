import pytest

from tfsupermask import models
from tfsupermask.layers import supermask_layers


@pytest.mark.parametrize(
    ("side", "num_classes", "flattened", "total"),
    [(32, 10, 1024, 4_357_824), (64, 200, 4096, 7_698_112)],
)
def test_weights(side, num_classes, flattened, total):
    layers = supermask_layers(models.build("alexnet", (side, side, 3), num_classes))
    weights = {layer.name: layer.num_weights for layer in layers}
    expected = {
        "conv1": 3 * 3 * 3 * 64,
        "conv2": 3 * 3 * 64 * 192,
        "conv3": 3 * 3 * 192 * 384,
        "conv4": 3 * 3 * 384 * 256,
        "conv5": 3 * 3 * 256 * 256,
        "dense1": flattened * 1024,
        "dense2": 1024 * 1024,
        "dense3": 1024 * num_classes,
    }
    assert list(weights.items()) == list(expected.items())
    assert sum(weights.values()) == total


def test_sizes_along_the_network():
    layers = models.build("alexnet").layers
    assert {layer.name: layer.output.shape[1:] for layer in layers} == {
        "image": (32, 32, 3),
        "conv1": (16, 16, 64),
        "pool1": (8, 8, 64),
        "conv2": (8, 8, 192),
        "pool2": (4, 4, 192),
        "conv3": (4, 4, 384),
        "conv4": (4, 4, 256),
        "conv5": (4, 4, 256),
        "pool5": (2, 2, 256),
        "flatten": (1024,),
        "dense1": (1024,),
        "dense2": (1024,),
        "dense3": (10,),
    }


def test_relu_everywhere_but_at_the_logits():
    layers = supermask_layers(models.build("alexnet", (16, 16, 3)))
    activations = [layer.activation.__name__ for layer in layers]
    assert activations == ["relu"] * 7 + ["linear"]
