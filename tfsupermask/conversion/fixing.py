"""The same model with its masks fixed and its kernels trained."""

from __future__ import annotations

import warnings

import keras
import numpy as np

from tfsupermask.conversion.copying import copy_model, remake, said_of_steps
from tfsupermask.conversion.folding import fold_kernels, plain_config, plain_layer
from tfsupermask.conversion.summary_table import said_of_frozen
from tfsupermask.layers import SupermaskMixin, plain_class, supermask_class
from tfsupermask.layers.walking import check_built
from tfsupermask.sparsity.measures import built_weights


def fix_masks(model: keras.Model) -> keras.Model:
    """Returns the same model with its masks fixed and its kernels trained.

    Its layers have the method `"fixed"`, see `tfsupermask.layers.Fixed`. The kernels
    start as what the given layers compute with; removed weights stay zero, whatever
    optimizer trains the others, and after saving and loading. A warning names kernels
    that are not trainable.

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
    check_built(model)
    built_weights(model)
    fixed = copy_model(model, _new_layer, _fix)
    for surprise in [*said_of_frozen(fixed), *said_of_steps(model, fixed)]:
        warnings.warn(surprise, stacklevel=2)
    return fixed


def _new_layer(layer):
    if not _masks_of(layer):
        return plain_layer(layer)
    make = supermask_class(plain_class(layer)).without_masks
    return remake(layer, make, plain_config)


def _fix(layer, new):
    """Gives a new layer the masks of a given one, and the kernels it computes with."""
    if not (weights := _masks_of(layer)):
        return
    fold_kernels(layer, new)
    positions = [weight.position for weight in weights]
    new.set_up([w.sparsity for w in weights], "fixed", kernels=positions)
    for weight, fixed in zip(weights, new.masked_weights, strict=True):
        fixed.select(np.float32(weight.mask.numpy() != 0))


def _masks_of(layer):
    return layer.masked_weights if isinstance(layer, SupermaskMixin) else []
