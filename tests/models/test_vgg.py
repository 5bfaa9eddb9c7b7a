import keras
import pytest

from tfsupermask import models
from tfsupermask.layers import supermask_layers

BLOCKS = [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]
# All parameters of Keras' VGG16 without top, less its 4,224 biases.
CONVOLUTION_WEIGHTS = 14_714_688 - 4_224


@pytest.mark.parametrize(("side", "num_classes"), [(32, 10), (64, 200)])
def test_weights(side, num_classes):
    layers = supermask_layers(models.build("vgg16", (side, side, 3), num_classes))
    weights = {layer.name: layer.num_weights for layer in layers}
    expected, before = {}, 3
    for block, widths in enumerate(BLOCKS, start=1):
        for index, width in enumerate(widths, start=1):
            expected[f"block{block}_conv{index}"] = 9 * before * width
            before = width
    assert sum(expected.values()) == CONVOLUTION_WEIGHTS
    expected |= {"dense1": 512 * 512, "dense2": 512 * 512, "dense3": 512 * num_classes}
    assert list(weights.items()) == list(expected.items())


@pytest.mark.parametrize(("side", "last"), [(32, 1), (63, 1), (64, 2)])
def test_layers_in_order_and_five_poolings_that_halve(side, last):
    expected = ["image"]
    for block, widths in enumerate(BLOCKS, start=1):
        for index in range(1, len(widths) + 1):
            expected += [
                f"block{block}_{kind}{index}" for kind in ("conv", "bn", "relu")
            ]
        expected.append(f"block{block}_pool")
    expected += ["average", "dense1", "dense2", "dense3"]
    model = models.build("vgg16", (side, side, 3))
    assert [layer.name for layer in model.layers] == expected
    activations = [model.get_layer(f"dense{i}").activation.__name__ for i in (1, 2, 3)]
    assert activations == ["relu", "relu", "linear"]
    for block in range(1, 6):
        pool = model.get_layer(f"block{block}_pool")
        assert type(pool) is keras.layers.MaxPooling2D
        halved = side // 2**block
        assert pool.output.shape == (None, halved, halved, BLOCKS[block - 1][-1])
    assert halved == last
    assert model.get_layer("average").output.shape == (None, 512)
