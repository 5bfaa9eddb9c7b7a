"""Rescaling by data: every masked layer's output gets a mean square of 1."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras.src.backend.common.stateless_scope import get_stateless_scope

from tfsupermask._images import ImageArray
from tfsupermask._validation import check_integer, fail
from tfsupermask.init.observing import check_array, check_labels, restored, watched
from tfsupermask.layers import SignedConstant, drawn, kernels_of, masked_weights
from tfsupermask.layers.kernels import draw_like
from tfsupermask.layers.walking import check_built, named_layers
from tfsupermask.ops import derive_seed
from tfsupermask.patches import class_balanced_order
from tfsupermask.patches.ranges import mean_square

_NUM_IMAGES = 250
_SCALED = (keras.initializers.VarianceScaling, SignedConstant)
_DRAW = -1  # of stochastic masks; training takes those above 0


def unit_power(
    model: keras.Model,
    images: ImageArray,
    labels: np.ndarray,
    preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Multiplies the kernels of each masked layer by what gives it unit power.

    The mean square of the layer's output over a sample of images, before bias and
    activation, becomes 1. One forward pass does it: every layer receives what the
    rescaled layers before it put out, under the model's masks as they are; stochastic
    masks are drawn once. It works after any initialisation, but does nothing to layers
    before a batch normalisation, which takes the factor out again.

    A kernel as its initializer draws it is drawn anew with the new scale, so that the
    layer's config still says how to draw it.

    Args:
        model: Any built Keras model with supermask layers. Other layers stay as they
            are. The first call of a layer counts; two kernels of a layer share the
            factor. Where a whole model or layer is masked, the layers inside get
            factors.
        images: Array (n, ...): the training images, not augmented. 250 of them are
            used, the classes in equal numbers.
        labels: int array (n,), the class of each image, at least 0.
        preprocess: Function from a batch of images to what the model takes. Defaults
            to a cast to float32.
        seed: Non-negative integer, which images are drawn. Defaults to 0.

    Returns:
        The factor of each layer by its name, in forward order: 1 if the output is
        zero. Layers of the same name are named by their paths.

    Raises:
        InputError: The model has no supermask layer, labels and images do not fit each
            other, an output is not finite, or a masked kernel gets no factor, as in a
            recurrent layer, an embedding, or a layer that is not called. The model is
            unchanged then.

    Example:
        >>> factors = unit_power(model, images, labels)
        >>> list(factors)
        ['conv1', 'conv2', 'dense1', 'dense2', 'dense3']
        >>> again = unit_power(model, images, labels)
        >>> bool(np.allclose(list(again.values()), 1, atol=1e-3))
        True

    Reference:
        - Mishkin and Matas, 2016, "All you need is a good init" (LSUV): layer by layer
          to unit variance, after an orthonormal initialisation.
        - Krähenbühl et al., 2016, "Data-dependent initializations of convolutional
          neural networks".
    """
    check_integer("seed", seed)
    check_built(model)
    check_array(images)
    labels = check_labels(images, labels)
    weights = masked_weights(model)
    if not weights:
        raise fail("`model` must have a supermask layer.", model=model.name)
    preprocess = preprocess or np.float32
    order = class_balanced_order(labels, derive_seed(seed, "unit_power"))
    owners = {weight.owner for weight in weights}
    names = named_layers(model, owners.__contains__)
    factors: dict[str, float] = {}
    initializers: dict[keras.Layer, list] = {}

    def rescale(layer, product):
        if layer in owners and layer not in initializers:
            factors[names[layer]], initializers[layer] = _rescale(layer, product())

    kernels = [kernel.variable for layer in owners for kernel in kernels_of(layer)]
    with (
        restored(kernels, unless_done=True),
        drawn(model, _DRAW),
        watched(model, rescale),
    ):
        model(preprocess(images[order[:_NUM_IMAGES]]), training=False)
        for weight in weights:
            if weight.owner not in initializers:
                raise fail(
                    f"Layer '{weight.layer.name}' must have masks only in dense layers "
                    "and convolutions, and be called.",
                    kernel=weight.name,
                )
    for rescaled in initializers.values():
        for kernel, initializer in rescaled:
            kernel.remember(initializer)
    return factors


def _rescale(layer, product):
    """Gives a layer unit power; returns the factor, and its kernels' initializers."""
    power = mean_square(product)
    if power == 0:
        return 1.0, []
    factor, kernels = power**-0.5, kernels_of(layer)
    return factor, [
        (kernel, _multiply(kernel, factor ** (1 / len(kernels)))) for kernel in kernels
    ]


def _multiply(kernel, factor):
    """Multiplies a kernel; returns its initializer, rescaled if it draws the kernel."""
    variable, initializer = kernel.variable, kernel.initializer
    values = variable._value.numpy()
    scope = get_stateless_scope()
    if scope and id(variable) in scope.state_mapping:
        # The mask of a layer around it is applied already.
        scope.add_update((variable, scope.get_current_value(variable) * factor))
    # Of other initializers `scale` may mean anything.
    config = initializer.get_config() if type(initializer) in _SCALED else None
    if config and np.array_equal(
        draw_like(values, type(initializer).from_config(config)), values
    ):
        config["scale"] *= factor**2
        initializer = type(initializer).from_config(config)
        values = draw_like(values, initializer)
    else:
        values = values * np.asarray(factor, values.dtype)
    variable._direct_assign(values)
    return initializer
