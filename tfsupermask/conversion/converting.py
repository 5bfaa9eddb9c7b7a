"""Supermask models from plain ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import keras
import numpy as np

from tfsupermask._validation import check_choice, check_integer, fail, listed
from tfsupermask.conversion.choosing import IsKernel, choose_sparsities
from tfsupermask.conversion.copying import copy_model, remake, said_of_steps
from tfsupermask.conversion.summary_table import said_of_frozen, share_masked, summary
from tfsupermask.init import NAMES, initialize
from tfsupermask.layers import (
    Method,
    default_score_initializer,
    get_method,
    is_kernel,
    kernels_of,
    masked_weights,
)
from tfsupermask.layers.classes import maker
from tfsupermask.layers.walking import check_built, shared_layers, supermask_layers
from tfsupermask.ops import derive_seed
from tfsupermask.sparsity import ALLOCATIONS
from tfsupermask.sparsity.allocation import share_out
from tfsupermask.sparsity.choosing import Sparsity

SCORES = ("random", "magnitude")


def convert(
    model: keras.Model,
    sparsity: Sparsity = 0.5,
    *,
    skip: str | Iterable[str] = (),
    kernels: IsKernel = is_kernel,
    method: str | Method = "edge_popup",
    allocation: str = "uniform",
    initializer: str | None = None,
    scores: str | None = None,
    seed: int = 0,
    verbose: bool = True,
) -> keras.Model:
    """Returns the same model with a mask for each kernel.

    Each layer with kernels, also inside of other layers and of models, becomes a
    supermask layer with the same name and weights. Supermask layers stay as they are.
    Weights without a mask are trained as before: biases, and the scales and offsets of
    normalisations. Of a layer that is not trainable nothing is: set
    `layer.trainable = True`. Warnings name such layers, those that were masked already,
    and a share below one half that is masked.

    Args:
        model: Built Keras model: Sequential, functional, nested, or of your own class,
            if it makes its layers in its constructor and can be made again from its
            config.
        sparsity: Fraction of the weights removed, in [0, 1); or a dict of fractions by
            patterns of layer names (`{"conv*": 0.5}`, the first match counts); or a
            function from a layer to a fraction or `None`. Kernels without a fraction
            stay as they are. Inner layers match by their own names and by the names of
            the layers around them. Defaults to 0.5.
        skip: Names, or patterns of names, of layers and nested models to leave as they
            are. Defaults to none.
        kernels: Function from a layer and one of its weights to whether it is a kernel.
            Defaults to `tfsupermask.layers.is_kernel`.
        method: How weights are selected, and what is trained: `"edge_popup"` (default)
            or another of `tfsupermask.layers.method_names()`. Kernels stay frozen, but
            for `"magnitude"`, `"magnitude_straight_through"`, `"fixed"` and `"dense"`,
            which train them; the last removes nothing.
        allocation: `"uniform"` (default) removes the same fraction of every layer with
            the same sparsity. The others of `tfsupermask.sparsity.ALLOCATIONS` share
            out their sparsity among them, see `tfsupermask.sparsity.allocate`.
        initializer: `None` (default) keeps the kernels. One of `tfsupermask.init.NAMES`
            draws the kernels anew that get a mask, and no others.
        scores: `"magnitude"` (default if the kernels are kept): the first mask keeps
            the weights with the largest magnitudes. `"random"` (default if they are
            drawn): the scores are drawn from U(-1/√fan_in, 1/√fan_in). Methods
            without scores ignore it.
        seed: Non-negative integer, 0 by default. Kernels, scores and draws of masks
            depend only on it and on their place in the model; a file does not keep the
            seed of the draws.
        verbose: Whether to print `summary` of the result. Defaults to `True`.

    Returns:
        A new model, not compiled. The given one is unchanged. A warning says if the
        class of a graph cannot be kept and had its own `train_step` or the like.

    Raises:
        InputError: An argument is not as above, a pattern matches no layer, the model
            has no kernel to mask, a layer with a kernel uses LoRA or is quantized, or
            a part of the model cannot be copied.

    Example:
        >>> plain = keras.Sequential(
        ...     [keras.Input((8,)), keras.layers.Dense(100, name="hidden"),
        ...      keras.layers.Dense(2, name="top")])
        >>> model = convert(plain, sparsity=0.7, skip="top", verbose=False)
        >>> [(weight.name, weight.num_kept) for weight in masked_weights(model)]
        [('hidden/kernel', 240)]

    Reference:
        - Ramanujan et al., 2020; thesis §3.2.
        - Zhu and Gupta, 2017, "To prune, or not to prune", for magnitudes.
    """
    check_built(model)
    method = get_method(method)
    check_choice("allocation", allocation, ALLOCATIONS)
    scores = scores or ("magnitude" if initializer is None else "random")
    check_choice("scores", scores, SCORES)
    check_integer("seed", seed)
    if initializer is not None:
        check_choice("initializer", initializer, NAMES)
    before = [layer.name for layer in supermask_layers(model)]
    if before and allocation != "uniform":
        raise fail(
            "`allocation` must be 'uniform' for a model that has supermask layers, "
            "which stay as they are.",
            allocation=allocation,
            supermask_layers=before,
        )
    chosen = choose_sparsities(model, sparsity, skip, kernels)
    masked = []

    def new_layer(layer):
        if id(layer) not in chosen:
            return remake(layer)
        return remake(layer, maker(layer))

    def finish(layer, new):
        if id(layer) in chosen:
            new.set_up(**_where(layer, chosen[id(layer)], kernels), method=method)
            masked.append(new)

    converted = copy_model(model, new_layer, finish)
    if initializer is not None:
        new = [weight.kernel for layer in masked for weight in layer.masked_weights]
        initialize(converted, initializer, seed, kernels=new)
    _start_scores(converted, masked, scores, seed)
    if allocation != "uniform":
        weights = masked_weights(converted)
        share_out(weights, [weight.sparsity for weight in weights], allocation)
    if verbose:
        print(summary(converted))
    surprises = [*_surprises(before, converted), *said_of_steps(model, converted)]
    for surprise in surprises:
        warnings.warn(surprise, stacklevel=2)
    return converted


def _where(layer, sparsities, kernels):
    """Returns the arguments of a supermask layer that choose its masked kernels."""
    if kernels is is_kernel:
        positions = [kernel.position for kernel in kernels_of(layer)]
        which = {}
    else:
        positions = sorted(sparsities)
        which = {"kernels": positions}
    each = [sparsities.get(position) for position in positions]
    return {"sparsity": each[0] if len(set(each)) == 1 else each, **which}


def _surprises(before, converted):
    """Yields warnings about what a user may not expect."""
    if before:
        yield (
            f"{len(before)} layers were masked already ({listed(before)}) "
            "and stay as they are, whatever the arguments: `fold` the model first."
        )
    share = share_masked(converted)
    if share < 0.5:
        yield (
            f"Only {share:.1%} of the model's parameters are masked: see "
            "`tfsupermask.summary(model)`, and `kernels` to mask others."
        )
    yield from said_of_frozen(converted)
    if shared := {layer.name for layer in shared_layers(converted)}:
        yield (
            f"Layers that two models hold ({listed(shared)}) make a file that "
            "Keras cannot load: save the weights alone (`save_weights`)."
        )


def _start_scores(model, masked, scores, seed):
    """Sets the scores of the layers in `masked`, by their place among all masks."""
    new = {id(layer) for layer in masked}
    for place, weight in enumerate(masked_weights(model)):
        if id(weight.layer) not in new or not weight.method.has_scores:
            continue
        seed_here = derive_seed(seed, "score", place)
        weight.draw_from(seed_here)
        if scores == "magnitude":
            magnitude = np.abs(weight.kernel.numpy().astype(np.float32))
            start = weight.method.score_from(magnitude, weight.sparsity)
        else:
            draw = default_score_initializer(weight.fans[0], seed_here)
            start = weight.method.starting_score(
                draw(weight.score.shape, weight.score.dtype), weight.sparsity
            )
        weight.score.assign(start)
