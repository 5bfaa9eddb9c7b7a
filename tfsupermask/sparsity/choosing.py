"""The sparsity of each kernel: one number for all, or by its layer."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence

import keras

from tfsupermask._validation import check_fraction, fail
from tfsupermask.layers import Kernel, MaskedWeight
from tfsupermask.layers.names import check_patterns, matches

Sparsity = float | Mapping[str, float] | Callable[[keras.Layer], float | None]
# A kernel's outermost layer, the kernel, and the names of the layers that it is in.
Named = tuple[keras.Layer, Kernel | MaskedWeight, Sequence[str]]


def choose(sparsity: Sparsity, kernels: Sequence[Named]) -> list[float | None]:
    """Returns the fraction to remove of each kernel, or `None` to leave it alone."""
    chooser = _chooser(sparsity, kernels)
    values = [chooser(*named) for named in kernels]
    return [v if v is None else check_fraction("sparsity", v) for v in values]


def _chooser(sparsity, kernels):
    """Returns a function from a kernel to its sparsity or `None`."""
    if isinstance(sparsity, numbers.Real):
        return lambda layer, kernel, names: sparsity
    if isinstance(sparsity, Mapping):
        check_patterns("sparsity", sparsity, [name for *_, n in kernels for name in n])
        return lambda layer, kernel, names: next(
            (sparsity[key] for key in sparsity if matches(names, [key])), None
        )
    if callable(sparsity):
        return lambda layer, kernel, names: sparsity(_shown(layer, kernel))
    raise fail(
        "`sparsity` must be a number in [0, 1), a dict from patterns of layer names to "
        "numbers, or a function from a layer to a number or `None`.",
        sparsity=sparsity,
    )


def _shown(layer, kernel):
    """Returns the layer to give to users: for a recurrent cell the layer around it."""
    return layer if hasattr(kernel.owner, "state_size") else kernel.owner
