"""A run's objects, made from its configuration."""

from __future__ import annotations

import keras

from tfsupermask import init, models
from tfsupermask._validation import fail
from tfsupermask.train.checkpoint import Checkpoint
from tfsupermask.train.config import Config


def build_model(
    config: Config, image_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """Builds the model of a resolved config, kernels and scores drawn from its seed."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(
        "mixed_bfloat16" if config.mixed_precision else "float32"
    )
    try:
        return models.build(
            config.model,
            image_shape,
            num_classes,
            config.prune,
            config.ranking,
            config.seed,
        )
    finally:
        keras.config.set_dtype_policy(policy)


def patches_init(
    config: Config, model: keras.Model, verbose: bool = False
) -> init.PatchesInit:
    """Returns the PatchesInit or SimpleInit of a resolved config, for its model.

    Raises:
        InputError: The model has fewer blocks than `config.patch_blocks`.
    """
    if config.init == "simple_patches":
        return init.SimpleInit(config.num_patches, config.seed, verbose=verbose)
    return init.PatchesInit(
        config.num_patches,
        config.num_clusters,
        config.discriminative_from,
        config.seed,
        only=_first_blocks(model, config.patch_blocks),
        verbose=verbose,
    )


def _first_blocks(model, count):
    if count is None:
        return None
    blocks = models.convolution_blocks(model)
    if count > len(blocks):
        raise fail(
            f"`patch_blocks` must be at most the {len(blocks)} blocks of {model.name}.",
            patch_blocks=count,
        )
    return [name for block in blocks[:count] for name in block]


def restore(
    saved: Checkpoint,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Puts a checkpoint's values into a model, and into its optimizer if given."""
    for name, variable in named_variables(model, optimizer).items():
        variable.assign(saved.values[name])


def named_variables(
    model: keras.Model, optimizer: keras.optimizers.Optimizer | None = None
) -> dict[str, keras.Variable]:
    """Returns all variables by the names that they have in checkpoints."""
    named = {f"model/{variable.path}": variable for variable in model.variables}
    if optimizer is not None:
        named |= {f"optimizer/{i}": v for i, v in enumerate(optimizer.variables)}
    return named
