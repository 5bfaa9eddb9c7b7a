"""The training step and the evaluation, the same on one device and on many."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._validation import fail
from tfsupermask.data import Dataset, Split, TrainBatches, eval_chunks
from tfsupermask.ops import in_top_k

STEPS_PER_CALL = 20


@dataclasses.dataclass(frozen=True)
class Totals:
    """Sums over images, from which the means come.

    Attributes:
        loss: Sum of the cross-entropies, in nats.
        top1: Number of images whose class has the largest logit.
        top5: Number of images whose class is among the five largest.
        images: Number of images.

    Example:
        >>> total = Totals(loss=2.0, top1=3.0, top5=4.0, images=4.0)
        >>> (total + total).means("test_")["test_top1"]
        0.75
    """

    loss: float = 0.0
    top1: float = 0.0
    top5: float = 0.0
    images: float = 0.0

    def __add__(self, other: Totals) -> Totals:
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Totals(*(a + b for a, b in zip(mine, theirs, strict=True)))

    def means(self, prefix: str) -> dict[str, float]:
        """Returns mean loss and the accuracies as fractions, named with a prefix."""
        return {
            f"{prefix}{name}": getattr(self, name) / self.images
            for name in ("loss", "top1", "top5")
        }


class Loop:
    """Runs a model over batches under a distribution strategy.

    A batch is global: replica r of R takes rows r·B/R to (r+1)·B/R, whatever process it
    lives in. A single replica works through the batch in the two halves that two
    replicas would take, and adds their gradients as those would. So one replica, two
    replicas and two processes compute the same bits; more replicas add more numbers in
    an order of their own, and agree up to rounding, as do models with batch
    normalisation.

    Args:
        model: Keras model from normalised images to logits.
        optimizer: Built Keras optimizer of the model's trainable variables.
        strategy: The strategy under whose scope both were made.
        dataset: Gives the normalisation.
        batch_size: B, images per step over all replicas, divisible by R.

    Raises:
        InputError: `batch_size` is not divisible by the number of replicas.

    Example:
        >>> from tfsupermask.data import TrainBatches
        >>> optimizer = SGDWithL2(0.1, 0.9, 1e-4)
        >>> optimizer.build(model.trainable_variables)
        >>> loop = Loop(model, optimizer, make_strategy("single"), dataset, 10)
        >>> batches = TrainBatches(dataset.train, 10, 0, 1, False)
        >>> sum(loop.train_epoch(batches, epoch=0), Totals()).images
        90.0
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        dataset: Dataset,
        batch_size: int,
    ):
        if batch_size % strategy.num_replicas_in_sync:
            raise fail(
                "`batch_size` must be divisible by the number of replicas.",
                batch_size=batch_size,
                replicas=strategy.num_replicas_in_sync,
            )
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.batch_size = batch_size
        self._mean, self._std = dataset.mean, dataset.std
        self._share = batch_size // strategy.num_replicas_in_sync
        # Batch normalisation looks at a whole batch: halves would be another network.
        whole = batch_size % 2 or any(
            isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers
        )
        self._parts = 1 if whole or strategy.num_replicas_in_sync > 1 else 2
        self._train_call = tf.function(self._train_steps, reduce_retracing=True)
        self._evaluate_call = tf.function(self._evaluate_batch, reduce_retracing=True)

    def train_epoch(self, batches: TrainBatches, epoch: int) -> Iterator[Totals]:
        """Trains one epoch, yielding the totals of every few steps as they are done.

        Args:
            batches: The training images; their order in an epoch depends on its number.
            epoch: Counted from 0.

        Raises:
            InputError: The loss or a score is not finite. The model is not usable
                afterwards.
        """
        steps = batches.steps_per_epoch
        for first in range(0, steps, STEPS_PER_CALL):
            count = min(STEPS_PER_CALL, steps - first)
            images, labels = self._shares(
                lambda position, first=first, count=count: batches.chunk(
                    epoch, first, count, position, self._share
                )
            )
            losses, top1, top5 = self._train_call(images, labels)
            losses = losses.numpy()
            if not np.isfinite(losses).all():
                step = int(np.argmin(np.isfinite(losses)))
                raise self._diverged(epoch, first + step, loss=float(losses[step]))
            # A mask hides scores that are not finite: the loss alone may look healthy.
            for variable in self.model.trainable_variables:
                if not np.isfinite(variable.numpy()).all():
                    raise self._diverged(epoch, first + count - 1, weight=variable.path)
            yield Totals(
                float(losses.sum(dtype=np.float64)) * self.batch_size,
                float(top1),
                float(top5),
                count * self.batch_size,
            )

    def _diverged(self, epoch, step, **received):
        return fail(
            f"Loss and scores must stay finite; by step {step + 1} of epoch "
            f"{epoch + 1} they did not. Try a smaller learning rate or another "
            "initialisation.",
            **received,
            learning_rate=float(self.optimizer.learning_rate),
        )

    def evaluate(self, split: Split) -> Totals:
        """Returns the totals over a split; every image counts exactly once."""
        total = Totals()
        for batch in eval_chunks(split, self.batch_size):
            shares = self._shares(
                lambda position, batch=batch: [
                    part[position : position + self._share] for part in batch
                ]
            )
            sums = self._evaluate_call(*shares)
            total += Totals(*(float(value) for value in sums))
        return total

    def _shares(self, rows_from):
        """Gives each replica of this process its rows of a batch."""

        def share(context):
            first = context.replica_id_in_sync_group * self._share
            return tuple(tf.convert_to_tensor(part) for part in rows_from(first))

        return self.strategy.experimental_distribute_values_from_function(share)

    def normalise(self, images: tf.Tensor) -> tf.Tensor:
        """Returns what the model takes: float32 (images / 255 - mean) / std."""
        return (tf.cast(images, tf.float32) / 255.0 - self._mean) / self._std

    def _train_steps(self, images, labels):
        """Returns the losses of the steps, and how many images were right."""
        num_steps = tf.shape(self.strategy.experimental_local_results(labels)[0])[0]
        losses = tf.TensorArray(tf.float32, num_steps)
        top1 = top5 = 0.0
        for step in tf.range(num_steps):
            per_replica = self.strategy.run(self._train_step, (images, labels, step))
            loss, hits1, hits5 = (self._sum(value) for value in per_replica)
            losses = losses.write(step, loss)
            top1, top5 = top1 + hits1, top5 + hits5
        return losses.stack(), top1, top5

    def _train_step(self, images, labels, step):
        batch = (self.normalise(images[step]), labels[step])
        split = (tf.split(component, self._parts) for component in batch)
        variables = [variable.value for variable in self.model.trainable_variables]
        *totals, gradients = _add(
            [self._gradient_sums(*part, variables) for part in zip(*split, strict=True)]
        )
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return totals

    def _gradient_sums(self, images, labels, variables):
        """Returns what a part of the batch adds to loss, hits and gradients."""
        with tf.GradientTape() as tape:
            logits = self.model(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_sum(losses) / self.batch_size
        hits = [tf.reduce_sum(in_top_k(logits, labels, k)) for k in (1, 5)]
        return loss, *hits, tape.gradient(loss, variables)

    def _evaluate_batch(self, images, labels, weights):
        per_replica = self.strategy.run(self._evaluate_step, (images, labels, weights))
        return [self._sum(value) for value in per_replica]

    def _evaluate_step(self, images, labels, weights):
        batch = (self.normalise(images), labels, weights)
        split = (tf.split(component, self._parts) for component in batch)
        return _add([self._evaluation_sums(*part) for part in zip(*split, strict=True)])

    def _evaluation_sums(self, images, labels, weights):
        logits = self.model(images, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        hits = [in_top_k(logits, labels, k) for k in (1, 5)]
        sums = [tf.reduce_sum(value * weights) for value in (losses, *hits)]
        return *sums, tf.reduce_sum(weights)

    def _sum(self, per_replica):
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)


def _add(parts):
    """Adds nested tuples and lists of tensors, element by element."""
    return tf.nest.map_structure(lambda *values: sum(values[1:], values[0]), *parts)
