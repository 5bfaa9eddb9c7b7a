"""Random initialisations: Xavier, Kaiming and the signed constant."""

from __future__ import annotations

import keras

from tfsupermask._validation import (
    check_choice,
    check_fraction,
    check_integer,
    check_number,
)
from tfsupermask.layers import SupermaskMixin
from tfsupermask.ops import compute_fans, derive_seed

# Scale and mode as in `keras.initializers.VarianceScaling`: variance = scale / fan.
# The normals are true normals; Keras' GlorotNormal and HeNormal are truncated.
_SCALES = {
    "glorot_normal": (1.0, "fan_avg", "untruncated_normal"),
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "kaiming_normal": (2.0, "fan_in", "untruncated_normal"),
    "kaiming_uniform": (2.0, "fan_in", "uniform"),
    "signed_constant": (2.0, "fan_in", "signed_constant"),
}
NAMES = tuple(_SCALES)


@keras.saving.register_keras_serializable(package="tfsupermask")
class SignedConstant(keras.initializers.Initializer):
    """±√(scale / fan_in) with random signs.

    Args:
        scale: Variance times fan_in, greater than 0. Defaults to 2, as in Kaiming
            initialisation.
        seed: Integer or `None`.

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


def kernel_initializer(
    name: str, seed: int, sparsity: float = 0.0
) -> keras.initializers.Initializer:
    """Returns a Keras initializer by its name here.

    Args:
        name: One of `NAMES`. Xavier: variance 2 / (fan_in + fan_out); Kaiming and the
            signed constant: 2 / fan_in.
        seed: Non-negative integer.
        sparsity: Fraction in [0, 1) for which to correct the fan: the standard
            deviation is divided by √(1 - sparsity). 0 (default) leaves it alone.

    Returns:
        The initializer.

    Raises:
        InputError: An argument is unknown or out of range.

    Example:
    >>> kernel_initializer("kaiming_normal", seed=0)((3, 3, 64, 64)).shape
    TensorShape([3, 3, 64, 64])

    Reference:
        - Thesis §3.1 and §5.7; He et al., 2015; Ramanujan et al., 2020 for the
          correction ("scaled" initialisations).
    """
    scale, mode, distribution = _SCALES[check_choice("init", name, NAMES)]
    scale /= 1 - check_fraction("sparsity", sparsity)
    seed = check_integer("seed", seed)
    if distribution == "signed_constant":
        return SignedConstant(scale, seed)
    return keras.initializers.VarianceScaling(scale, mode, distribution, seed)


def initialize(
    model: keras.Model, name: str, seed: int = 0, *, fan_correction: bool = False
) -> None:
    """Draws every convolution's and dense layer's kernel anew.

    Layers of nested models included. The values are a pure function of the name, the
    seed, the kernel's shape and the place of its layer among those with a kernel.
    `glorot_normal` gives the values that `tfsupermask.models.build` starts with for
    the same seed.

    Args:
        model: Any built Keras model with `Conv2D` and `Dense` layers, masked or not.
        name: One of `NAMES`.
        seed: Non-negative integer.
        fan_correction: Whether supermask layers divide the standard deviation by
            √(1 - their sparsity), as if the removed weights did not count as inputs.

    Raises:
        InputError: `name` or `seed` is not as above.

    Example:
    >>> initialize(models.build("conv2"), "kaiming_normal", seed=1)
    """
    check_integer("seed", seed)
    for index, layer in enumerate(_layers_with_kernel(model)):
        masked = fan_correction and isinstance(layer, SupermaskMixin)
        draw = kernel_initializer(
            name,
            derive_seed(seed, "kernel", index),
            layer.sparsity if masked else 0.0,
        )
        layer.kernel.assign(draw(layer.kernel.shape))


def _layers_with_kernel(model):
    found = []
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            found.append(layer)
        elif hasattr(layer, "layers"):
            found.extend(_layers_with_kernel(layer))
    return found
