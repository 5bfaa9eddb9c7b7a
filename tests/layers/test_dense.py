import keras
import numpy as np
import pytest

from tfsupermask.layers import SupermaskDense


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("sparsity", [0.0, 0.7])
@pytest.mark.parametrize("input_shape", [(7,), (3, 7), (2, 3, 7)])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"use_bias": True},
        {"activation": "relu"},
        {"activation": "softmax", "use_bias": True},
    ],
)
def test_equals_keras_dense_with_the_masked_kernel(arguments, input_shape, sparsity):
    arguments = {"units": 4, "use_bias": False, **arguments}
    layer = SupermaskDense(**arguments, sparsity=sparsity)
    plain = keras.layers.Dense(**arguments)
    for each in (layer, plain):
        each.build((None, *input_shape))
    layer.score.assign(random(7, 4))
    kept = np.argsort(-np.abs(layer.score.numpy().ravel()))[: layer.num_kept]
    mask = np.isin(np.arange(28), kept).reshape(7, 4)
    plain.kernel.assign(layer.kernel.numpy() * mask)
    if layer.use_bias:
        for each in (layer, plain):
            each.bias.assign([1, -2, 3, -4])
    inputs = random(2, *input_shape, seed=1)
    outputs = layer(inputs)
    assert outputs.shape == (2, *input_shape[:-1], 4)
    np.testing.assert_array_equal(outputs, plain(inputs))


@pytest.mark.parametrize(
    ("ranking", "expected"), [("magnitude", 320.0), ("score", 4300.0)]
)
def test_output_by_hand(ranking, expected):
    layer = SupermaskDense(1, sparsity=0.5, ranking=ranking)
    layer.build((None, 4))
    layer.kernel.assign([[1.0], [20.0], [300.0], [4000.0]])
    layer.score.assign([[0.1], [-0.4], [0.3], [0.2]])
    assert float(layer(np.ones((1, 4)))[0, 0]) == expected


@pytest.mark.parametrize("units", [0, -1, 2.5])
def test_keras_own_checks_remain(units):
    with pytest.raises(ValueError, match=f"units={units}"):
        SupermaskDense(units)
