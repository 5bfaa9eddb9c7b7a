"""Masks and weights that a run takes from another one."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from tfsupermask._validation import fail
from tfsupermask.layers import masked_weights
from tfsupermask.layers.walking import mask_variables
from tfsupermask.ops import num_kept, top_k_mask
from tfsupermask.runs import DRAWN, Config
from tfsupermask.tickets import load_ticket
from tfsupermask.train.build import named_variables
from tfsupermask.train.load import load_run


def take_mask(config: Config, model: keras.Model) -> None:
    """Gives a model the masks, and if the config says so the weights, of another run.

    Raises:
        InputError: There is no run or ticket, or it is of another network.
    """
    source = _load("mask_from", config.mask_from, model)
    pairs = list(zip(masked_weights(model), masked_weights(source), strict=True))
    for weight, given in pairs:
        mask = np.abs(np.sign(given.mask.numpy()))
        if config.prune_rest:
            count = num_kept(int(mask.sum()), config.prune_rest)
            # Above the removed weights, also where a kept one is 0.
            ranked = mask * (1 + np.abs(given.effective().numpy()))
            mask = top_k_mask(ranked, count).numpy()
        weight.select(mask)
    if config.weights_from is None:
        _take_weights(model, source)
        for weight, given in pairs:
            weight.kernel.assign(given.effective())
    elif config.weights_from != DRAWN:
        _take_weights(model, _load("weights_from", config.weights_from, model))
    for weight in masked_weights(model):
        weight.kernel.assign(weight.effective())


def _load(flag, path, model):
    """Returns the model of a run folder or ticket, with the same masked weights."""
    path = Path(path)
    if not path.exists():
        raise fail(f"`{flag}` must be a run folder or a ticket.", **{flag: str(path)})
    loaded = load_run(path) if path.is_dir() else load_ticket(path)
    ours, theirs = (
        [(name, tuple(variable.shape)) for name, variable in _weights(each).items()]
        for each in (model, loaded.model)
    )
    if ours != theirs:
        others = sorted(set(theirs) ^ set(ours))
        raise fail(
            f"`{flag}` must be of the same network, with weights of the same shapes.",
            **{flag: str(path)},
            network=loaded.model.name,
            differing=others[:2] or "their order",
        )
    return loaded.model


def _take_weights(model, source):
    for variable, given in zip(
        _weights(model).values(), _weights(source).values(), strict=True
    ):
        variable.assign(given)


def _weights(model):
    """Returns the variables of a model that no mask is made of, by name."""
    masks = mask_variables(model)
    named = named_variables(model).items()
    return {name: variable for name, variable in named if id(variable) not in masks}
