"""Supermask models from plain ones."""

from __future__ import annotations

import numbers
from collections.abc import Iterable

import keras

from tfsupermask._validation import check_choice, check_integer, fail
from tfsupermask.conversion.classes import MASKED_CLASSES
from tfsupermask.conversion.copying import copy_model, remake
from tfsupermask.conversion.plan import Sparsity, plan
from tfsupermask.conversion.summary import summary
from tfsupermask.init import NAMES, initialize
from tfsupermask.layers import (
    default_score_initializer,
    kernels_of,
    masked_weights,
)
from tfsupermask.layers.walking import check_built, supermask_layers
from tfsupermask.ops import RANKINGS, derive_seed
from tfsupermask.sparsity import ALLOCATIONS, allocate

SCORES = ("random", "magnitude")


def convert(
    model: keras.Model,
    sparsity: Sparsity = 0.5,
    *,
    skip: str | Iterable[str] = (),
    allocation: str = "uniform",
    initializer: str | None = None,
    scores: str = "random",
    ranking: str = "magnitude",
    seed: int = 0,
    verbose: bool = True,
) -> keras.Model:
    """Returns the same model with supermask layers in place of plain ones.

    `Conv1D`, `Conv2D`, `Conv3D`, `Conv2DTranspose`, `DepthwiseConv2D`,
    `SeparableConv2D` and `Dense` layers become supermask layers of the same name and
    with the same weights, in nested models too. Their kernels are frozen. All else
    stays as it is: subclasses of those layers, layers with other kernels (attention,
    recurrent, embedding), layers inside such layers and inside wrappers, and supermask
    layers, which keep their scores.

    What else was trainable is still trained: biases, the scales and offsets of
    normalisations, layers without mask. The table printed lists them; freeze them with
    `layer.trainable = False`. The scores of a layer that is not trainable are not
    trained either: set `layer.trainable = True` to find its mask, which leaves the
    kernel frozen.

    Args:
        model: Built Keras model: Sequential, functional, nested, or of a class of your
            own that makes its layers in its constructor and can be made anew from its
            config. A saved model of such a class loads as its plain self: save it
            after `fold`, or its weights alone.
        sparsity: Fraction of the weights removed, in [0, 1); or one for each pattern of
            layer names (`{"conv*": 0.5}`, the first match counts); or a function of the
            layer that returns one or `None`. Layers without one are left alone.
            Defaults to 0.5.
        skip: Names of layers and of nested models to leave alone, or patterns of names.
            Defaults to none.
        allocation: `"uniform"` (default) gives every layer the sparsity as it is. The
            others of `tfsupermask.sparsity.ALLOCATIONS` share one number out.
        initializer: `None` (default) keeps the kernels. One of `tfsupermask.init.NAMES`
            draws those of the new supermask layers anew.
        scores: `"random"` (default) draws them from U(-1/√fan_in, 1/√fan_in),
            `"magnitude"` lets them start as `|kernel|`, so that training starts from
            magnitude pruning, the choice for pretrained networks.
        ranking: `"magnitude"` (default) keeps the largest `|score|`, `"score"` the
            largest score.
        seed: Non-negative integer, 0 by default. Kernels and scores are a pure function
            of it and of their place in the model.
        verbose: Whether to print `summary` of the result. Defaults to `True`.

    Returns:
        A new model, not compiled. The given one is unchanged.

    Raises:
        InputError: An argument is not as above, a pattern matches no layer, the model
            has no layer to convert, one to convert uses LoRA or is quantized, or
            something in the model cannot be copied.

    Example:
        >>> plain = keras.Sequential(
        ...     [keras.Input((8,)), keras.layers.Dense(100, name="hidden"),
        ...      keras.layers.Dense(2, name="top")])
        >>> model = convert(plain, sparsity=0.7, skip="top")
        masked weight  class           shape  weights  sparsity  kept
        hidden/kernel  SupermaskDense  8×100      800     0.700   240
        total                                     800     0.700   240
        <BLANKLINE>
        trained without mask  class           weights
        hidden                SupermaskDense      100
        top                   Dense               202
        total                                     302

    Reference:
        - Ramanujan et al., 2020; thesis §3.2.
        - Zhu and Gupta, 2017, "To prune, or not to prune", for magnitudes.
    """
    check_built(model)
    check_choice("allocation", allocation, ALLOCATIONS)
    check_choice("scores", scores, SCORES)
    check_choice("ranking", ranking, RANKINGS)
    check_integer("seed", seed)
    if initializer is not None:
        check_choice("initializer", initializer, NAMES)
    if allocation != "uniform":
        _check_allocation(model, sparsity, allocation)
    sparsities = plan(model, sparsity, skip)
    masked = []

    def new_layer(layer):
        if id(layer) not in sparsities:
            return remake(layer)
        mask = {"sparsity": sparsities[id(layer)], "ranking": ranking}
        masked_class = MASKED_CLASSES[type(layer)]
        masked.append(remake(layer, masked_class, lambda config: {**config, **mask}))
        return masked[-1]

    converted = copy_model(model, new_layer, _copy_kernels)
    if initializer is not None:
        initialize(converted, initializer, seed, layers=masked)
    _start_scores(converted, masked, scores, seed)
    if allocation != "uniform":
        allocate(converted, sparsity, allocation)
    if verbose:
        print(summary(converted))
    return converted


def _check_allocation(model, sparsity, allocation):
    if not isinstance(sparsity, numbers.Real):
        raise fail(
            "`sparsity` must be one number to be shared out.",
            sparsity=sparsity,
            allocation=allocation,
        )
    kept = [layer.name for layer in supermask_layers(model)]
    if kept:
        raise fail(
            "`allocation` must be 'uniform' for a model that has supermask layers, "
            "which stay as they are.",
            allocation=allocation,
            supermask_layers=kept,
        )


def _start_scores(model, masked, scores, seed):
    """Sets the scores of the layers in `masked`, places counted over all masks."""
    new = {id(layer) for layer in masked}
    weights = [weight for weight in masked_weights(model) if weight.layer.built]
    for place, weight in enumerate(weights):
        if id(weight.layer) not in new:
            continue
        if scores == "magnitude":
            weight.score.assign(keras.ops.abs(weight.kernel))
        else:
            draw = default_score_initializer(
                weight.fans[0], derive_seed(seed, "score", place)
            )
            weight.score.assign(draw(weight.score.shape))


def _copy_kernels(source, target):
    for kernel in kernels_of(source):
        getattr(target, kernel.attribute).assign(getattr(source, kernel.attribute))
    if source.bias is not None:
        target.bias.assign(source.bias)
