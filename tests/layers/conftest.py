import numpy as np
import pytest


def mask_by_hand(weight):
    """Keeps the `num_kept` largest magnitudes of a masked weight's scores."""
    scores = np.abs(weight.score.numpy().ravel())
    kept = np.argsort(-scores)[: weight.num_kept]
    return np.isin(np.arange(scores.size), kept).reshape(weight.kernel.shape)


@pytest.fixture
def check_equals_plain():
    """Function that compares a supermask layer with Keras' own one, kernels masked."""

    def check(layer, plain, input_shape):
        rng = np.random.default_rng(0)
        for each in (layer, plain):
            each.build((None, *input_shape))
        for weight in layer.masked_weights:
            weight.score.assign(rng.normal(size=weight.kernel.shape))
            masked = weight.kernel.numpy() * mask_by_hand(weight)
            assert np.count_nonzero(masked) == weight.num_kept
            getattr(plain, weight.attribute).assign(masked)
        if layer.use_bias:
            bias = rng.normal(size=layer.bias.shape)
            for each in (layer, plain):
                each.bias.assign(bias)
        inputs = rng.normal(size=(2, *input_shape)).astype(np.float32)
        outputs = layer(inputs)
        assert outputs.shape == plain.compute_output_shape((2, *input_shape))
        np.testing.assert_array_equal(outputs, plain(inputs))

    return check
