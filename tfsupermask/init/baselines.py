"""Random initialisations: Xavier, Kaiming and the signed constant."""

from __future__ import annotations

from collections.abc import Iterable

import keras

from tfsupermask._validation import check_choice, check_fraction, check_integer
from tfsupermask.layers import SignedConstant, kernels_of, masked_weights
from tfsupermask.layers.walking import leaves
from tfsupermask.ops import compute_fans, derive_seed

# Scale and mode as in `keras.initializers.VarianceScaling`: variance = scale / fan,
# here 2 / (fan_in + fan_out) for Xavier, 2 / fan_in for the others.
# The normals are true normals; Keras' GlorotNormal and HeNormal are truncated.
_SCALES = {
    "glorot_normal": (1.0, "fan_avg", "untruncated_normal"),
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "kaiming_normal": (2.0, "fan_in", "untruncated_normal"),
    "kaiming_uniform": (2.0, "fan_in", "uniform"),
    "signed_constant": (2.0, "fan_in", "signed_constant"),
}
NAMES = tuple(_SCALES)


def kernel_initializer(
    name: str, seed: int, sparsity: float = 0.0
) -> keras.initializers.Initializer:
    """Returns the initializer of one of `NAMES`, its σ divided by √(1 - sparsity)."""
    scale, mode, distribution = _SCALES[check_choice("init", name, NAMES)]
    scale /= 1 - check_fraction("sparsity", sparsity)
    seed = check_integer("seed", seed)
    if distribution == "signed_constant":
        return SignedConstant(scale, seed)
    return keras.initializers.VarianceScaling(scale, mode, distribution, seed)


def initialize(
    model: keras.Model,
    name: str,
    seed: int = 0,
    *,
    fan_correction: bool = False,
    layers: Iterable[keras.Layer] | None = None,
) -> None:
    """Draws every kernel of a model anew, those of layers inside layers included.

    The values are a pure function of the name, the seed, the kernel's shape and layout,
    and its place among the model's kernels. The initializer stays in the layer, so that
    the layer's config says how to draw them again. `glorot_normal` gives the values
    that `tfsupermask.models.build` starts with for the same seed.

    Args:
        model: Any built Keras model, masked or not; `tfsupermask.layers.is_kernel`
            says what its kernels are.
        name: One of `NAMES`.
        seed: Non-negative integer. Defaults to 0.
        fan_correction: Whether supermask layers divide the standard deviation by
            √(1 - their sparsity), as if the removed weights did not count as inputs.
            Defaults to `False`.
        layers: The layers to draw kernels of. Defaults to all.

    Raises:
        InputError: `name` or `seed` is not as above.

    Example:
        >>> model = models.build("conv2")
        >>> initialize(model, "kaiming_normal", seed=1)
        >>> layer = model.get_layer("conv1")
        >>> config = layer.get_config()["kernel_initializer"]
        >>> drawn = keras.initializers.deserialize(config)(layer.kernel.shape)
        >>> bool(tf.reduce_all(drawn == layer.kernel))
        True

    Reference:
        - Thesis §3.1 and §5.7; He et al., 2015; Ramanujan et al., 2020 for the
          correction ("scaled" initialisations).
    """
    check_choice("init", name, NAMES)
    check_integer("seed", seed)
    wanted = None if layers is None else {id(layer) for layer in layers}
    sparsities = {}
    if fan_correction:
        sparsities = {id(each.kernel): each.sparsity for each in masked_weights(model)}
    kernels = [(each, kernel) for each in leaves(model) for kernel in kernels_of(each)]
    for place, (layer, kernel) in enumerate(kernels):
        if wanted is None or id(layer) in wanted:
            draw_seed = derive_seed(seed, "kernel", place)
            sparsity = sparsities.get(id(kernel.variable), 0.0)
            kernel.draw_by(_layout_initializer(name, draw_seed, sparsity, kernel))


def _layout_initializer(name, seed, sparsity, kernel):
    """Returns the initializer with the variance for the kernel's layout."""
    # Initializers know the shape alone and take it for the regular layout's.
    initializer = kernel_initializer(name, seed, sparsity)
    assumed, fans = compute_fans(kernel.variable.shape), kernel.fans
    if _SCALES[name][1] == "fan_in":
        assumed, fans = assumed[:1], fans[:1]
    initializer.scale *= sum(assumed) / sum(fans)
    return initializer
