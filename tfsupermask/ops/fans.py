"""n_{l-1} and n_{l+1} of eq. 3.1 and 4.2, with the receptive field."""

from __future__ import annotations

import math
from collections.abc import Sequence


def compute_fans(kernel_shape: Sequence[int]) -> tuple[int, int]:
    """Returns `(fan_in, fan_out)` of a kernel.

    Args:
        kernel_shape: Shape of a kernel in Keras' layout: (in, out) of a dense layer, or
            (spatial..., in per group, out) of a convolution. A vector (n,) counts as
            (n, n), as in Keras' initializers.

    Returns:
        The number of inputs of an output unit, and the number of outputs of an input
        unit: channels times receptive field.

    Example:
        >>> compute_fans((3, 3, 64, 128))
        (576, 1152)

    Reference:
        - Thesis eq. 3.1 and 4.2, n_{l-1} and n_{l+1}.
    """
    shape = tuple(kernel_shape)
    *receptive_field, inputs, outputs = shape if len(shape) > 1 else 2 * shape
    field = math.prod(receptive_field)
    return inputs * field, outputs * field
