"""Initializers that Keras does not have."""

from __future__ import annotations

import math

import keras

from tfsupermask._validation import check_number
from tfsupermask.ops import compute_fans


@keras.saving.register_keras_serializable(package="tfsupermask")
class SignedConstant(keras.initializers.Initializer):
    """±√(scale / fan_in) with random signs.

    Args:
        scale: Variance times fan_in, greater than 0. Defaults to 2, as in Kaiming
            initialisation.
        seed: Integer, or `None` (default) for another draw in each run.

    Raises:
        InputError: `scale` is not as above.

    Example:
        >>> np.unique(np.abs(SignedConstant(seed=0)((3, 3, 2, 8)))).size
        1

    Reference:
        - Ramanujan et al., 2020, "Signed Kaiming Constant".
    """

    def __init__(self, scale=2.0, seed=None):
        self.scale = check_number("scale", scale, above=True)
        self.seed = seed

    def __call__(self, shape, dtype=None):
        """Returns a tensor of the given shape."""
        magnitude = (self.scale / compute_fans(shape)[0]) ** 0.5
        uniform = keras.random.uniform(shape, seed=self.seed)
        sign = keras.ops.where(uniform < 0.5, -magnitude, magnitude)
        return keras.ops.cast(sign, dtype or keras.config.floatx())

    def get_config(self):
        """Mirrors the constructor."""
        return {"scale": self.scale, "seed": self.seed}


def default_score_initializer(
    fan_in: int, seed: int | None = None
) -> keras.initializers.Initializer:
    """Returns Kaiming-uniform with a = √5: U(-1/√fan_in, 1/√fan_in).

    Args:
        fan_in: Number of inputs of one output, at least 1.
        seed: Integer, or `None` (default) for another draw in each run.

    Example:
        >>> scores = default_score_initializer(fan_in=100)((100, 10))
        >>> bool(tf.reduce_all(tf.abs(scores) <= 0.1))
        True

    Reference:
        - He et al., 2015, "Delving deep into rectifiers"; Ramanujan et al., 2020.
    """
    limit = math.sqrt(1 / fan_in)
    return keras.initializers.RandomUniform(-limit, limit, seed)
