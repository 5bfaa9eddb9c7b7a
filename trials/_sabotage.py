"""Sabotages of restores, each in one way, which a comparison must detect."""

from __future__ import annotations

import copy
import dataclasses
from unittest import mock

import numpy as np

from tfsupermask import data
from tfsupermask.runs import checkpoint as checkpoints


def _on_restore(change):
    """Returns a sabotage that changes the restored checkpoint."""

    def install(stack):
        original = checkpoints.restore_latest

        def changed(folder):
            saved = copy.deepcopy(original(folder))
            return saved and (change(saved) or saved)

        stack.enter_context(mock.patch.object(checkpoints, "restore_latest", changed))

    return install


def _values(word, change, which=lambda value: True):
    """Returns a sabotage that changes the values with a word in their names."""

    def apply(saved):
        names = [n for n, value in saved.values.items() if word in n and which(value)]
        assert names, (word, list(saved.values))
        for name in names:
            saved.values[name] = change(saved.values[name])

    return _on_restore(apply)


def _last_bit(value):
    value.flat[0] = np.nextafter(value.flat[0], np.float32(np.inf))
    return value


def _largest_halved(value):
    value.flat[np.abs(value).argmax()] /= 2
    return value


def _batches(change):
    """Returns a sabotage that changes the batches after the restore."""

    def install(stack):
        original = data.TrainBatches.chunk

        def changed(self, epoch, first_step, num_steps, *args, **kwargs):
            epoch, first_step = change(epoch, first_step)
            return original(self, epoch, first_step, num_steps, *args, **kwargs)

        stack.enter_context(mock.patch.object(data.TrainBatches, "chunk", changed))

    return install


def _state(name, change):
    def apply(saved):
        saved.state[name] = change(saved.state[name])

    return _on_restore(apply)


SABOTAGES = {
    "one score, last bit": _values("score", _last_bit),
    "one kernel weight, last bit": _values("/kernel", _last_bit),
    "scores of the start": _values("score", np.zeros_like),
    "momentum lost": _values("optimizer/", np.zeros_like, np.ndim),
    "momentum of one weight halved": _values("optimizer/", _largest_halved, np.ndim),
    "step counter (learning rate) off by one": _values(
        "optimizer/", lambda value: value + 1, lambda value: value.dtype.kind in "iu"
    ),
    "moving mean lost": _values("moving_mean", np.zeros_like),
    "moving variance lost": _values("moving_variance", np.ones_like),
    "one weight fewer kept": _values("num_kept", lambda count: count - 1),
    "data of the epoch before": _batches(lambda epoch, step: (max(0, epoch - 1), step)),
    "data cursor one step back": _batches(
        lambda epoch, step: (epoch, max(0, step - 1))
    ),
    "a row of the metrics lost": _state("rows", lambda rows: rows[1:]),
    "a row of the metrics twice": _state("rows", lambda rows: [*rows[:1], *rows]),
    "totals of the begun epoch lost": _state(
        "begun", lambda begun: {**begun, "totals": dict.fromkeys(begun["totals"], 0.0)}
    ),
    "masks of the epoch's start lost": _values("begun/mask", np.zeros_like),
    "epoch begun again after its first steps": _on_restore(
        lambda saved: dataclasses.replace(saved, step=0)
    ),
}
