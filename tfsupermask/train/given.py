"""Masks and weights that a run takes from another one."""

from __future__ import annotations

import keras
import numpy as np

from tfsupermask import zoo
from tfsupermask._validation import fail
from tfsupermask.layers import masked_weights
from tfsupermask.layers.walking import mask_variables
from tfsupermask.ops import num_kept, top_k_mask
from tfsupermask.runs import DRAWN, Config
from tfsupermask.tickets import load_ticket
from tfsupermask.train.build import named_variables
from tfsupermask.train.load import load_run


def load_given(config: Config, model: keras.Model) -> dict[str, keras.Model]:
    """Returns the models that a config names, by its fields; all of one network."""
    paths = {"mask_from": config.mask_from, "weights_from": config.weights_from}
    return {
        flag: _load(flag, path, model)
        for flag, path in paths.items()
        if path not in (None, DRAWN)
    }


def take_mask(
    config: Config, model: keras.Model, given: dict[str, keras.Model]
) -> None:
    """Gives a model the masks, and if the config says so the weights, of `given`."""
    source = given["mask_from"]
    pairs = list(zip(masked_weights(model), masked_weights(source), strict=True))
    for weight, theirs in pairs:
        keeps = theirs.mask.numpy() != 0
        if config.prune_rest:
            count = num_kept(int(keeps.sum()), config.prune_rest)
            # Removed weights are below kept ones that are 0.
            ranked = np.where(keeps, np.abs(theirs.effective().numpy()), -np.inf)
            keeps = top_k_mask(ranked, count, "score").numpy()
        weight.select(np.float32(keeps))
    flag = "mask_from" if config.weights_from is None else "weights_from"
    if flag in given:
        _take_weights(flag, getattr(config, flag), model, given[flag])
    for weight, theirs in pairs:
        if config.weights_from is None:
            weight.kernel.assign(theirs.effective())
        weight.kernel.assign(weight.effective())


def _load(flag, path, model):
    """Returns the model of a run folder or ticket, with the same masked weights."""
    path = zoo.resolve(path)
    if not path.exists():
        raise fail(f"`{flag}` must be a run folder or a ticket.", **{flag: str(path)})
    loaded = load_run(path) if path.is_dir() else load_ticket(path)
    ours, theirs = (
        [(weight.name, tuple(weight.kernel.shape)) for weight in masked_weights(each)]
        for each in (model, loaded.model)
    )
    if ours != theirs:
        others = sorted(set(theirs) ^ set(ours))
        raise fail(
            f"`{flag}` must be of the same network, with masks of the same shapes.",
            **{flag: str(path)},
            network=loaded.model.name,
            differing=others[:2] or "their order",
        )
    return loaded.model


def _take_weights(flag, path, model, source):
    theirs, masks = named_variables(source), mask_variables(model)
    for name, variable in named_variables(model).items():
        if id(variable) in masks:
            continue
        shape = None if name not in theirs else tuple(theirs[name].shape)
        if shape != tuple(variable.shape):
            raise fail(
                f"`{flag}` must be of the same network and have "
                f"{name.removeprefix('model/')!r}, numbers of shape "
                f"{tuple(variable.shape)}.",
                **{flag: path},
                shape=shape,
            )
        variable.assign(theirs[name])
