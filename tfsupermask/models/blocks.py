"""The convolutions of a network, block by block."""

from __future__ import annotations

import re

from tfsupermask._on_use import OnUse
from tfsupermask._validation import fail

keras = OnUse("keras")
_CONVENTION = re.compile(r"block(?P<block>\d+)_\w+|stem_\w+|conv\d+|(?P<pool>pool\d+)")


def convolution_blocks(model: keras.Model) -> list[list[str]]:
    """Returns the names of the convolutions larger than 1×1, grouped by block.

    PatchesInit sets these convolutions; its partial variant sets those of the first
    blocks.

    Args:
        model: A model of `tfsupermask.models.build`, or one with the same names of
            convolutions and max poolings: `block2_…` belongs to block 2 and `stem_…` to
            block 1; among `conv1`, `conv2`, … every `pool1`, `pool2`, … ends a block.

    Returns:
        A list for each block, both in forward order.

    Raises:
        InputError: The names do not show the blocks.

    Example:
        >>> convolution_blocks(models.build("conv6"))
        [['conv1', 'conv2'], ['conv3', 'conv4'], ['conv5', 'conv6']]

    Reference:
        - Thesis §5.5 and §8.3, Partial-PatchesInit.
    """
    blocks: dict[int, list[str]] = {}
    decisive = (keras.layers.Conv2D, keras.layers.MaxPooling2D)
    unknown = []
    block = 1
    for layer in model.layers:
        match = _CONVENTION.fullmatch(layer.name)
        if not match:
            if isinstance(layer, decisive) or hasattr(layer, "layers"):
                unknown.append(layer.name)
        elif match["pool"]:
            block += 1
        elif match["block"]:
            block = int(match["block"])
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size != (1, 1):
            blocks.setdefault(block, []).append(layer.name)
    if unknown or not blocks:
        raise fail(
            "`model` must have convolutions larger than 1x1, named with its max "
            "poolings as the models of `tfsupermask.models.build` name theirs.",
            model=model.name,
            unknown=unknown,
        )
    return list(blocks.values())
