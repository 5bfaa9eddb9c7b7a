"""Rescaling by data: every masked layer's output gets a mean square of 1."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from tfsupermask._validation import check_integer, fail
from tfsupermask.init.checking import check_labels
from tfsupermask.init.undoing import all_or_nothing
from tfsupermask.init.watching import watched
from tfsupermask.layers import SupermaskMixin, drawn, kernels_of, masked_weights
from tfsupermask.ops import derive_seed
from tfsupermask.patches import class_balanced_order

RESCALINGS = ("none", "unit_power")
_NUM_IMAGES = 250
_DRAW = -1  # of stochastic masks; training takes those above 0


def unit_power(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Multiplies the kernels of each supermask layer by what gives it unit power.

    In forward order, and in one forward pass, so that every layer receives what the
    rescaled layers before it put out: the mean square of the layer's output over a
    sample of images, before bias and activation, becomes 1. The masks are those that
    the model has, random ones as long as its scores are; stochastic masks are drawn
    once. It works after any initialisation.

    A batch normalisation behind a layer takes the factor out again: there it does
    neither good nor harm. Kernels as their initializer draws them are drawn anew with
    the new scale, so that the layer's config still says how to draw them.

    Args:
        model: Any built Keras model with supermask layers. Layers without a mask stay
            as they are; one that is called several times counts where it is called
            first; one of two kernels shares the factor between them.
        images: Array (n, ...): the training images, not augmented. 250 of them are
            used, the classes in equal numbers.
        labels: int array (n,), the class of each image, at least 0.
        preprocess: Function from a batch of images to what the model takes. Defaults
            to a cast to float32.
        seed: Non-negative integer, which images are drawn. Defaults to 0.

    Returns:
        The factor of each layer by its name, in forward order: 1 for a layer whose
        output is zero.

    Raises:
        InputError: The model has no supermask layer, labels and images do not fit each
            other, or an output is not finite. The model is unchanged then.

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
    labels = check_labels(images, labels)
    weights = masked_weights(model)
    if not weights:
        raise fail("`model` must have a supermask layer.", model=model.name)
    preprocess = preprocess or (lambda batch: batch.astype(np.float32))
    order = class_balanced_order(labels, derive_seed(seed, "unit_power"))
    factors: dict[str, float] = {}
    initializers: dict[keras.Layer, list] = {}

    def rescale(layer, product):
        if isinstance(layer, SupermaskMixin) and layer not in initializers:
            factors[layer.name], initializers[layer] = _rescale(layer, product())

    with (
        all_or_nothing([weight.kernel for weight in weights]),
        drawn(model, _DRAW),
        watched(model, rescale),
    ):
        model(preprocess(images[order[:_NUM_IMAGES]]), training=False)
    for rescaled in initializers.values():
        for kernel, initializer in rescaled:
            kernel.remember(initializer)
    return factors


def _rescale(layer, product):
    """Gives a layer unit power; returns the factor, and its kernels' initializers."""
    # NumPy adds up in the same order whatever the number of threads.
    power = float(np.square(product).mean(dtype=np.float64))
    if not np.isfinite(power):
        raise fail(f"The output of layer '{layer.name}' must be finite.", power=power)
    if power == 0:
        return 1.0, []
    factor, kernels = power**-0.5, kernels_of(layer)
    return factor, [
        (kernel, _multiply(kernel, factor ** (1 / len(kernels)))) for kernel in kernels
    ]


def _multiply(kernel, factor):
    """Multiplies a kernel; returns its initializer, rescaled if it draws the kernel."""
    variable, initializer = kernel.variable, kernel.initializer
    config = {} if initializer is None else initializer.get_config()
    if "scale" in config and np.array_equal(
        _draw(type(initializer).from_config(config), variable), variable
    ):
        config["scale"] *= factor**2
        initializer = type(initializer).from_config(config)
        variable.assign(_draw(initializer, variable))
    else:
        variable.assign(variable.numpy() * np.asarray(factor, variable.dtype))
    return initializer


def _draw(initializer, variable):
    return initializer(variable.shape, variable.dtype)
