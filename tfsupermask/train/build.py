"""Makes and restores a run's model and initialisation from its configuration."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import random
from collections.abc import Iterator

import keras
import numpy as np
from keras.src.backend.common import global_state

from tfsupermask import init, models
from tfsupermask._validation import fail
from tfsupermask.init.baselines import remember_draws
from tfsupermask.layers import get_method, masked_weights
from tfsupermask.layers.names import check_patterns, matches
from tfsupermask.layers.walking import mask_variables, named_weights
from tfsupermask.patches.reduction import NUM_COMPONENTS
from tfsupermask.runs import GIVEN, PATCH_INITS, RANDOM_INITS, Config
from tfsupermask.runs.checkpoint import Checkpoint
from tfsupermask.sparsity import SparsityRamp
from tfsupermask.sparsity.allocation import share_out
from tfsupermask.sparsity.measures import built_weights

_COUNTERS = "object_name_uids"


def build_model(
    config: Config, image_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """Builds the model of a resolved config, kernels and scores drawn from its seed."""
    with _keras_as(config):
        return models.build(
            config.model,
            image_shape,
            num_classes,
            config.prune,
            config.method,
            config.seed,
            width=config.width,
            affine_norm=config.affine_norm,
        )


@contextlib.contextmanager
def _keras_as(config: Config) -> Iterator[None]:
    """Sets the precision, and what layers without a name or a seed get, by the config.

    Keras numbers names by all that it gave before, and takes seeds from `random`.
    """
    policy, state = keras.config.dtype_policy(), random.getstate()
    before = global_state.get_global_attribute(_COUNTERS) or {}
    counters = collections.defaultdict(int)
    try:
        keras.config.set_dtype_policy(config.precision)
        random.seed(config.seed)
        global_state.set_global_attribute(_COUNTERS, counters)
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)
        for name, count in before.items():
            counters[name] = max(count, counters[name])


def random_init(config: Config) -> str:
    """Returns the initialisation of all weights, or of those that get no patterns."""
    if config.init in PATCH_INITS:
        return config.rest or RANDOM_INITS[0]
    return config.init


def patches_init(
    config: Config, model: keras.Model, verbose: bool = False
) -> init.PatchesInit:
    """Returns the PatchesInit or SimpleInit of a resolved config, for its model."""
    options = {
        "seed": config.seed,
        "verbose": verbose,
        "num_components": config.num_components or NUM_COMPONENTS,
    }
    if config.init == "simple_patches":
        return init.SimpleInit(config.num_patches, **options)
    names = [field.name for field in dataclasses.fields(init.Variant)]
    variant = {name: getattr(config, name) for name in names}
    return init.PatchesInit(
        config.num_patches,
        config.num_clusters,
        config.discriminative_from,
        only=_with_patterns(config, model),
        double_from=config.double_from,
        variant=init.Variant(**{k: v for k, v in variant.items() if v is not None}),
        **options,
    )


def _with_patterns(config, model):
    """Returns the names of the convolutions that get patterns, `None` for all."""
    if config.patch_blocks is None and config.patch_layers is None:
        return None
    blocks = models.convolution_blocks(model)
    if config.patch_blocks is not None:
        _check_most("patch_blocks", config.patch_blocks, len(blocks), "blocks", model)
        return list(itertools.chain(*blocks[: config.patch_blocks]))
    names = list(itertools.chain(*blocks))
    count = config.patch_layers
    _check_most("patch_layers", count, len(names), "convolutions", model)
    return names[:count]


def _check_most(name, count, most, what, model):
    if count > most:
        raise fail(
            f"`{name}` must be at most the {most} {what} of {model.name}.",
            **{name: count},
        )


def set_sparsity(config: Config, model: keras.Model, epoch: int) -> None:
    """Sets how many weights each mask keeps, by the epoch (from 0) and the scores."""
    if not get_method(config.method).takes_sparsity:
        return
    sparsity = config.prune
    if config.ramp_epochs:
        sparsity = SparsityRamp(final=config.prune, end_epoch=config.ramp_epochs)(epoch)
    keep_whole(config, model, sparsity)


def keep_whole(
    config: Config, model: keras.Model, sparsity_of_others: float | None = None
) -> None:
    """Gives layers to keep whole a sparsity of 0; the others share one, or stay."""
    weights, named = built_weights(model), named_weights(model)
    ends = {"first": weights[0].layer, "last": weights[-1].layer}
    asked = {word.strip() for word in (config.whole_layers or "").split(",") if word}
    patterns = sorted(asked - set(ends))
    check_patterns(
        "whole_layers", patterns, [name for _, names in named for name in names]
    )
    whole = [ends[word] for word in asked & set(ends)]
    sparsities = [
        0.0 if weight.layer in whole or matches(names, patterns) else sparsity_of_others
        for weight, names in named
    ]
    share_out(weights, sparsities, config.allocation)


def restore(
    config: Config,
    saved: Checkpoint,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Puts a checkpoint's values into a run's model, and its optimizer if given.

    The layers' configs then say which kernels are drawn, and how.
    """
    check_fits(saved, model, optimizer)
    for name, variable in named_variables(model, optimizer).items():
        variable.assign(saved.values[name])
    for name, weight in _named_masks(model).items():
        # Old checkpoints without this number come from runs with one sparsity.
        count = int(saved.values.get(name, weight.num_kept))
        if count != weight.num_kept:
            weight.variables.num_kept.assign(count)
    if config.init != GIVEN:
        remember_draws(model, random_init(config), config.seed)


def check_fits(
    saved: Checkpoint,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Raises unless a checkpoint holds what `restore` needs, in the right shapes."""
    for name, variable in named_variables(model, optimizer).items():
        _check_value(name, saved.values.get(name), tuple(variable.shape), "biufV")
    for name, weight in _named_masks(model).items():
        if name in saved.values:
            _check_value(name, saved.values[name], (), "iu")
            if not 1 <= saved.values[name] <= weight.num_weights:
                raise fail(
                    f"The checkpoint's {name!r} must be in [1, {weight.num_weights}].",
                    num_kept=int(saved.values[name]),
                )


def _check_value(name, value, shape, kinds):
    if value is None or value.shape != shape or value.dtype.kind not in kinds:
        raise fail(
            f"The checkpoint must hold {name!r}, numbers of shape {shape}.",
            shape=None if value is None else value.shape,
            dtype=None if value is None else str(value.dtype),
        )


def values_of(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> dict[str, np.ndarray]:
    """Returns what `restore` puts back, by name."""
    variables = named_variables(model, optimizer)
    values = {name: variable.numpy() for name, variable in variables.items()}
    masks = _named_masks(model).items()
    return values | {name: np.array(weight.num_kept) for name, weight in masks}


def _named_masks(model):
    """Returns `masked_weights` by the names of their numbers kept in checkpoints."""
    return _by_name(
        (f"num_kept/{weight.kernel.path}", weight) for weight in masked_weights(model)
    )


def named_variables(
    model: keras.Model, optimizer: keras.optimizers.Optimizer | None = None
) -> dict[str, keras.Variable]:
    """Returns all variables by their names in checkpoints."""
    masks = mask_variables(model)
    pairs = [
        (f"model/{variable.path}", variable)
        for variable in model.variables
        if id(variable) not in masks
    ]
    for weight in masked_weights(model):
        if weight.method.has_scores:
            prefix = weight.kernel.path.removesuffix("kernel")
            pairs.append((f"model/{prefix}score", weight.score))
    if optimizer is not None:
        pairs += [(f"optimizer/{i}", v) for i, v in enumerate(optimizer.variables)]
    return _by_name(pairs)


def _by_name(pairs):
    """Returns a dict; the second with a name has "#2" behind it, and so on."""
    named, times = {}, collections.Counter()
    for name, value in pairs:
        times[name] += 1
        named[name if times[name] == 1 else f"{name}#{times[name]}"] = value
    return named
