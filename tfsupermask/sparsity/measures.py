"""Measures of a model's masks: sparsity and flipped bits."""

from __future__ import annotations

import keras
import numpy as np

from tfsupermask._validation import fail
from tfsupermask.layers import MaskedWeight, masked_weights, supermask_layers
from tfsupermask.layers.walking import name_of_each


def built_weights(model: keras.Model) -> list[MaskedWeight]:
    """Returns the masked weights of a model, which must be built and have some."""
    layers = supermask_layers(model)
    if not layers:
        raise fail("`model` must have supermask layers.", model=model.name)
    for layer in layers:
        if not layer.built:
            raise fail(
                "`model` must be built: give it an Input, or call it once.",
                model=model.name,
                layer=layer.name,
            )
    return masked_weights(model)


def realised_sparsity(model: keras.Model) -> float:
    """Returns the fraction of all masked weights that the masks remove.

    Args:
        model: Built model with supermask layers.

    Raises:
        InputError: The model has no supermask layers or is not built.

    Example:
        >>> round(realised_sparsity(models.build("conv2", sparsity=0.7)), 4)
        0.7
    """
    weights = built_weights(model)
    kept = sum(weight.num_kept for weight in weights)
    return 1 - kept / sum(weight.num_weights for weight in weights)


class MaskWatch:
    """Counts the mask bits that flip between two looks at a model.

    It takes its first look when it is made, and stores one bit for each weight.

    Args:
        model: Built model with supermask layers.

    Attributes:
        bits: The last look: for each masked weight its mask, eight bits a byte.
        by_weight: For each masked weight, by its name (with its path where two agree),
            the fraction of its bits that had flipped at the last look; empty after the
            first look.

    Raises:
        InputError: The model has no supermask layers or is not built.

    Example:
        >>> model = models.build("conv2", (8, 8, 3), sparsity=0.5)
        >>> watch = MaskWatch(model)
        >>> model.get_layer("dense3").sparsity = 0.0
        >>> watch.flipped() > 0, watch.flipped()
        (True, 0.0)
    """

    def __init__(self, model: keras.Model):
        self._weights = built_weights(model)
        self._names = name_of_each(model)
        self.bits = self._look()
        self.by_weight: dict[str, float] = {}

    def _look(self):
        return [np.packbits(weight.mask.numpy() != 0) for weight in self._weights]

    def flipped(self) -> float:
        """Returns the fraction of all mask bits that flipped since the last look."""
        before, self.bits = self.bits, self._look()
        flips = [
            int(np.bitwise_count(old ^ new).sum())
            for old, new in zip(before, self.bits, strict=True)
        ]
        self.by_weight = {
            self._names[weight]: count / weight.num_weights
            for weight, count in zip(self._weights, flips, strict=True)
        }
        return sum(flips) / sum(weight.num_weights for weight in self._weights)
