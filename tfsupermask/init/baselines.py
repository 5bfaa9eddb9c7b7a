"""Random initialisations: Xavier, Kaiming and the signed constant."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np

from tfsupermask._validation import check_choice, check_integer, fail
from tfsupermask.init.names import NAMES, SCALES
from tfsupermask.layers import (
    Kernel,
    SignedConstant,
    is_kernel,
    kernels_of,
    masked_weights,
)
from tfsupermask.layers.kernels import draw_like
from tfsupermask.layers.walking import check_built, leaves
from tfsupermask.ops import compute_fans, derive_seed

_SAMPLED = 1 << 20  # numbers that tell the scale
_ROUNDED = 1e-5  # most that rounding changes a number, relative to the largest
# The scale is known up to a few units in the last place of its root, a float32.
_NEARBY = [step * 2.0**-24 for step in sorted(range(-8, 9), key=abs)]


def kernel_initializer(
    name: str, seed: int, sparsity: float, kernel: Kernel
) -> keras.initializers.Initializer:
    """Returns the initializer of a kernel, its σ divided by √(1 - sparsity)."""
    scale, mode, distribution = SCALES[name]
    # Initializers know the shape alone and take it for the regular layout's.
    assumed, fans = compute_fans(kernel.variable.shape), kernel.fans
    if mode == "fan_in":
        assumed, fans = assumed[:1], fans[:1]
    scale = scale / (1 - sparsity) * (sum(assumed) / sum(fans))
    if distribution == "signed_constant":
        return SignedConstant(scale, seed)
    return keras.initializers.VarianceScaling(scale, mode, distribution, seed)


def initialize(
    model: keras.Model,
    name: str,
    seed: int = 0,
    *,
    fan_correction: bool = False,
    kernels: Iterable[keras.Variable] | None = None,
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
        kernels: The weights to draw, also ones that `is_kernel` does not accept; what
            no layer draws by an initializer, as scores, is passed over. Defaults to all
            kernels.

    Raises:
        InputError: An argument is not as above.

    Example:
        >>> initialize(model, "kaiming_normal", seed=1)
        >>> model.get_layer("conv1").kernel_initializer.scale
        2.0

    Reference:
        - Thesis §3.1 and §5.7; He et al., 2015; Ramanujan et al., 2020 for the
          correction ("scaled" initialisations).
    """
    check_choice("init", name, NAMES)
    check_integer("seed", seed)
    check_built(model)
    wanted = None if kernels is None else {id(each): each for each in kernels}
    for foreign in (wanted or {}).keys() - {id(each) for each in model.variables}:
        unknown = getattr(wanted[foreign], "path", wanted[foreign])
        raise fail("`kernels` must be weights of the model.", unknown=unknown)
    sparsities = {}
    if fan_correction:
        sparsities = {id(each.kernel): each.sparsity for each in masked_weights(model)}
    for kernel, draw_seed in _seeded_kernels(model, seed, wanted or ()):
        if wanted is None or id(kernel.variable) in wanted:
            sparsity = sparsities.get(id(kernel.variable), 0.0)
            kernel.draw_by(kernel_initializer(name, draw_seed, sparsity, kernel))


def remember_draws(model: keras.Model, name: str, seed: int) -> None:
    """Notes in the layers' configs which kernels `initialize` drew, at any scale."""
    for kernel, draw_seed in _seeded_kernels(model, seed):
        initializer = kernel_initializer(name, draw_seed, 0.0, kernel)
        found = _with_scale_of(initializer, kernel.variable.numpy())
        if found is not None:
            kernel.remember(found)


def _seeded_kernels(model, seed, also=()):
    """Yields every kernel, then the weights with ids in `also`, and draws' seeds."""

    def which(layer, variable):
        return is_kernel(layer, variable) or id(variable) in also

    kernels = [kernel for each in leaves(model) for kernel in kernels_of(each, which)]
    kernels.sort(key=lambda kernel: not is_kernel(kernel.owner, kernel.variable))
    for place, kernel in enumerate(kernels):
        yield kernel, derive_seed(seed, "kernel", place)


def _with_scale_of(initializer, values):
    """Returns the initializer with the scale that draws the values, `None` if none."""
    drawn, some = draw_like(values, initializer), np.s_[:_SAMPLED]
    one, other = (np.float64(each.ravel()[some]) for each in (drawn, values))
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = (one @ other) / (one @ one)
        error = np.abs(other - ratio * one).max()
    if not (ratio > 0 and error <= _ROUNDED * np.abs(other).max()):
        return None
    config = initializer.get_config()
    for change in _NEARBY:
        scale = config["scale"] * (ratio * (1 + change)) ** 2
        again = type(initializer).from_config(config | {"scale": float(scale)})
        if np.array_equal(draw_like(values, again), values):
            return again
    return None
