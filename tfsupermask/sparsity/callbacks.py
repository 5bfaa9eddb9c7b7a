"""Keras callbacks for `model.fit`: a sparsity schedule, and measures in the logs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import keras

from tfsupermask._validation import check_choice, check_fraction, fail
from tfsupermask.sparsity.allocation import chosen, share_out
from tfsupermask.sparsity.choosing import Sparsity
from tfsupermask.sparsity.measures import MaskWatch, realised_sparsity
from tfsupermask.sparsity.names import ALLOCATIONS

PERIODS = ("epoch", "batch")


class SparsitySchedule(keras.callbacks.Callback):
    """Shares a sparsity among a model's masks at every epoch or after every batch.

    Args:
        sparsity: Fraction of all masked weights removed, in [0, 1), or a dict of
            fractions by patterns of layer names, see `allocate`; or a function of the
            epoch, counted from 0, that returns either, such as `SparsityRamp`.
        allocation: How to share it, see `allocate`: `"uniform"` (default),
            `"erdos_renyi"` or `"global"`.
        every: `"epoch"` (default): at the beginning of each epoch. `"batch"`: also
            after each batch (or `steps_per_execution` of them); the function then also
            gets fractions of epochs, in a first epoch only if Keras knows its number of
            batches.

    Raises:
        InputError: A value is out of range. In `fit`: the model has no supermask
            layers, the function returns a wrong value, or the method of a layer that
            gets one decides how many weights are kept.

    Example:
        >>> model = models.build("conv2", (8, 8, 3), sparsity=0.0)
        >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
        >>> ramp = SparsityRamp(final=0.9, end_epoch=2)
        >>> callbacks = [SupermaskMetrics(), SparsitySchedule(ramp, "global")]
        >>> images, labels = np.ones((8, 8, 8, 3)), np.zeros(8)
        >>> run = model.fit(images, labels, epochs=3, callbacks=callbacks, verbose=0)
        >>> [round(sparsity, 4) for sparsity in run.history["sparsity"]]
        [0.0, 0.7875, 0.9]
        >>> whole = SparsitySchedule(lambda epoch: {"conv1": 0, "*": ramp(epoch)})

    Reference:
        - Zhu & Gupta, 2017, for sparsity that rises during training.
    """

    def __init__(
        self,
        sparsity: float | Mapping[str, float] | Callable[[float], Sparsity],
        allocation: str = "uniform",
        every: str = "epoch",
    ):
        super().__init__()
        if not callable(sparsity):
            by_name = isinstance(sparsity, Mapping)
            for each in sparsity.values() if by_name else [sparsity]:
                check_fraction("sparsity", each)
        self.sparsity = sparsity
        self.allocation = check_choice("allocation", allocation, ALLOCATIONS)
        self.every = check_choice("every", every, PERIODS)
        self._steps = self._batches = math.inf

    def on_epoch_begin(self, epoch, logs=None):
        """Shares the epoch's sparsity."""
        self._epoch = epoch
        self._allocate(epoch)

    def on_train_batch_end(self, batch, logs=None):
        """Shares the sparsity at the end of this batch, if `every` is "batch"."""
        if self.every == "batch":
            self._batches = batch + 1
            # Loops of one's own may set no `params`.
            steps = (self.params or {}).get("steps") or self._steps
            self._allocate(self._epoch + min(1, self._batches / steps))

    def on_epoch_end(self, epoch, logs=None):
        """Notes the number of batches, which Keras does not always know."""
        self._steps = self._batches

    def on_train_begin(self, logs=None):
        """Forgets the steps of another training."""
        self._steps = self._batches = math.inf

    def _allocate(self, epoch):
        sparsity = self.sparsity(epoch) if callable(self.sparsity) else self.sparsity
        weights, sparsities = chosen(self.model, sparsity)
        for weight, each in zip(weights, sparsities, strict=True):
            if each is not None and weight.method.decides_num_kept:
                raise fail(
                    "A schedule cannot set how many weights are kept by a method that "
                    "decides it.",
                    layer=weight.layer.name,
                    method=weight.method.name,
                )
        share_out(weights, sparsities, self.allocation)


class SupermaskMetrics(keras.callbacks.Callback):
    """Adds the sparsity of the masks and their changes to the logs of every epoch.

    `sparsity` is the fraction of all masked weights removed. `mask_churn` is the
    fraction of mask bits that flipped since the end of the previous epoch; in the first
    epoch, since training began or went on (with the first step of a `SparsitySchedule`
    that comes later in the list). Callbacks that read them, such as `EarlyStopping`,
    `CSVLogger` and `TensorBoard`, must come later in the list; `fit` itself appends its
    `History` and its progress bar.

    Raises:
        InputError: In `fit`: the model has no supermask layers.

    Example:
        >>> model = models.build("conv2", (8, 8, 3), sparsity=0.5)
        >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
        >>> stop = keras.callbacks.EarlyStopping("mask_churn", mode="min")
        >>> images, labels = np.ones((8, 8, 8, 3)), np.zeros(8)
        >>> callbacks = [SupermaskMetrics(), stop]
        >>> run = model.fit(images, labels, epochs=1, callbacks=callbacks, verbose=0)
        >>> sorted(run.history)
        ['loss', 'mask_churn', 'sparsity']
    """

    _watch = None

    def on_train_begin(self, logs=None):
        """Forgets the masks of another training."""
        self._watch = None

    def on_epoch_begin(self, epoch, logs=None):
        """Takes the first look, after other callbacks have restored a training."""
        self._watch = self._watch or MaskWatch(self.model)

    def on_epoch_end(self, epoch, logs=None):
        """Adds both numbers to the logs."""
        logs["sparsity"] = realised_sparsity(self.model)
        logs["mask_churn"] = self._watch.flipped()
