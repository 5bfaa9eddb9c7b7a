"""The same model with its masks fixed and its kernels trained."""

from __future__ import annotations

import keras
import numpy as np

from tfsupermask.conversion.copying import copy_model, remake
from tfsupermask.conversion.folding import fold_layers
from tfsupermask.layers import supermask_class
from tfsupermask.sparsity.measures import built_weights


def fix_masks(model: keras.Model) -> keras.Model:
    """Returns the same model with its masks fixed and its kernels trained.

    Its layers have the method `"fixed"`. The kernels start as what the given layers
    compute with. Removed weights are zero after every step, whatever optimizer trains
    the others, and after saving and loading.

    Args:
        model: Built Keras model with supermask layers, of any method.

    Returns:
        A new model, not compiled; its outputs are the same. The given one is unchanged.

    Raises:
        InputError: `model` is not built, has no supermask layers, or a part of it
            cannot be copied.

    Example:
        >>> model = fix_masks(models.build("conv2", (8, 8, 3), sparsity=0.9))
        >>> layer = model.get_layer("conv1")
        >>> layer.method.name, int(np.count_nonzero(layer.kernel))
        ('fixed', 173)
        >>> layer.kernel.trainable, layer.score.trainable
        (True, False)

    Reference:
        - Frankle and Carbin, 2019, "The lottery ticket hypothesis: finding sparse,
          trainable neural networks".
    """
    plain, masked = fold_layers(model)
    built_weights(model)

    def new_layer(layer):
        if layer not in masked:
            return remake(layer)
        return remake(layer, supermask_class(type(layer)).without_masks)

    def finish(layer, new):
        if layer in masked:
            weights = masked[layer].masked_weights
            positions = [weight.position for weight in weights]
            new.set_up([w.sparsity for w in weights], "fixed", kernels=positions)
            for weight, fixed in zip(weights, new.masked_weights, strict=True):
                fixed.select(np.float32(weight.mask.numpy() != 0))

    return copy_model(plain, new_layer, finish)
