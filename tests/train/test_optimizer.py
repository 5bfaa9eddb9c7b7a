import keras
import numpy as np
import pytest

from tfsupermask.train import SGDWithL2


@pytest.mark.parametrize(("momentum", "l2"), [(0.0, 0.0), (0.9, 0.0), (0.9, 0.1)])
def test_penalty_goes_through_the_momentum(momentum, l2):
    rng = np.random.default_rng(0)
    expected = rng.normal(size=5).astype("float32")
    variable = keras.Variable(expected)
    optimizer = SGDWithL2(0.1, momentum, l2)
    optimizer.build([variable])
    velocity = np.zeros(5)
    for _ in range(4):
        gradient = rng.normal(size=5).astype("float32")
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        velocity = momentum * velocity - 0.1 * (gradient + l2 * expected)
        expected = expected + velocity
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6)
