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
    if isinstance(sparsity, Mapping):
        check_patterns("sparsity", sparsity, [name for *_, n in kernels for name in n])
    elif not callable(sparsity) and not isinstance(sparsity, numbers.Real):
        raise fail(
            "`sparsity` must be a number in [0, 1), a dict from patterns of layer "
            "names to numbers, or a function from a layer to a number or `None`.",
            sparsity=sparsity,
        )
    values = [_sparsity_of(sparsity, *named) for named in kernels]
    return [v if v is None else check_fraction("sparsity", v) for v in values]


def _sparsity_of(sparsity, layer, kernel, names):
    if isinstance(sparsity, Mapping):
        found = (sparsity[pattern] for pattern in sparsity if matches(names, [pattern]))
        return next(found, None)
    if callable(sparsity):
        # Users know a recurrent cell as the layer around it.
        of_cell = hasattr(kernel.owner, "state_size")
        return sparsity(layer if of_cell else kernel.owner)
    return sparsity
