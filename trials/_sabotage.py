"""Sabotages of restores, each in one way, which a comparison must detect."""

from __future__ import annotations

import dataclasses
import json
from unittest import mock

import numpy as np

from tfsupermask import data
from tfsupermask.runs import checkpoint as checkpoints


def _on_restore(change):
    """Returns a sabotage that changes the restored checkpoint."""

    def install(stack):
        original = checkpoints.restore_latest

        def changed(folder):
            saved = original(folder)
            if saved is None:
                return None
            values = {name: value.copy() for name, value in saved.values.items()}
            state = json.loads(json.dumps(saved.state))
            saved = dataclasses.replace(saved, values=values, state=state)
            return change(saved) or saved

        stack.enter_context(mock.patch.object(checkpoints, "restore_latest", changed))

    return install


def _values(word, change):
    """Returns a sabotage that changes the values with a word in their names."""

    def apply(saved):
        names = [name for name in saved.values if word in name]
        assert names, (word, list(saved.values))
        for name in names:
            saved.values[name] = change(saved.values[name])

    return _on_restore(apply)


def _last_bit(value):
    flat = value.reshape(-1).copy()
    flat[0] = np.nextafter(flat[0], np.float32(np.inf))
    return flat.reshape(value.shape)


def _largest_halved(value):
    flat = value.reshape(-1).copy()
    flat[np.abs(flat).argmax()] /= 2
    return flat.reshape(value.shape)


def _optimizer(change):
    """Returns a sabotage that changes the momenta: the optimizer's arrays."""

    def apply(saved):
        for name, value in saved.values.items():
            if name.startswith("optimizer/") and value.ndim:
                saved.values[name] = change(value)

    return _on_restore(apply)


def _iterations(saved):
    for name, value in saved.values.items():
        if name.startswith("optimizer/") and value.dtype.kind in "iu":
            saved.values[name] = value + 1


def _rows(change):
    def apply(saved):
        saved.state["rows"] = change(saved.state["rows"])

    return _on_restore(apply)


def _batches(change):
    """Returns a sabotage that changes the batches after the restore."""

    def install(stack):
        original = data.TrainBatches.chunk

        def changed(self, epoch, first_step, num_steps, *args, **kwargs):
            epoch, first_step = change(self, epoch, first_step, num_steps)
            return original(self, epoch, first_step, num_steps, *args, **kwargs)

        stack.enter_context(mock.patch.object(data.TrainBatches, "chunk", changed))

    return install


def _one_batch_back(batches, epoch, first, count):
    return epoch, max(0, first - 1)


def _state(name, change):
    def apply(saved):
        saved.state[name] = change(saved.state[name])

    return _on_restore(apply)


SABOTAGES = {
    "one score, last bit": _values("score", _last_bit),
    "one kernel weight, last bit": _values("/kernel", _last_bit),
    "scores of the start": _values("score", np.zeros_like),
    "momentum lost": _optimizer(np.zeros_like),
    "momentum of one weight halved": _optimizer(_largest_halved),
    "step counter (learning rate) off by one": _on_restore(_iterations),
    "moving mean lost": _values("moving_mean", np.zeros_like),
    "moving variance lost": _values("moving_variance", np.ones_like),
    "one weight fewer kept": _values("num_kept", lambda count: count - 1),
    "data of the epoch before": _batches(
        lambda _, epoch, first, count: (max(0, epoch - 1), first)
    ),
    "data cursor one step back": _batches(_one_batch_back),
    "a row of the metrics lost": _rows(lambda rows: rows[1:]),
    "a row of the metrics twice": _rows(lambda rows: [*rows[:1], *rows]),
    "totals of the begun epoch lost": _state(
        "begun", lambda begun: {**begun, "totals": dict.fromkeys(begun["totals"], 0.0)}
    ),
    "masks of the epoch's start lost": _values("begun/mask", np.zeros_like),
    "epoch begun again after its first steps": _on_restore(
        lambda saved: dataclasses.replace(saved, step=0)
    ),
}
