"""Training steps and evaluation, the same on one device and on several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._validation import fail
from tfsupermask.data import Dataset, Split, TrainBatches
from tfsupermask.data.batches import eval_rows
from tfsupermask.data.dataset import normalise
from tfsupermask.layers import masks_found_once, redraw_removed, stochastic_weights
from tfsupermask.ops import THRESHOLDED
from tfsupermask.train.totals import Totals, loss_and_hits

STEPS_PER_CALL = 20
_BYTES_PER_CALL = 1 << 27


class Loop:
    """Runs a model over batches under a distribution strategy.

    Replica r of R takes rows r·B/R to (r+1)·B/R of a batch, in whichever process it
    runs. A single replica computes the batch in the two halves that two replicas would
    take, and adds their gradients in the same way. So one replica, two replicas and two
    processes compute the same bits. More replicas add more numbers in another order,
    and agree up to rounding, as models with batch normalisation do.

    Args:
        model: Keras model from normalised images to logits.
        optimizer: Built Keras optimizer of the model's trainable variables.
        strategy: The strategy; model and optimizer were made under its scope.
        dataset: Gives the normalisation.
        batch_size: B, images per step over all replicas, divisible by R.
        jit_compile: Whether XLA compiles a step's forward and backward pass, which
            changes the rounding. Defaults to `False`.
        redraw_steps: Steps after which `redraw_removed` draws anew. Defaults to none.
        label_smoothing: Part of a training label that all classes share, in [0, 1).
            Defaults to 0.

    Attributes:
        num_parts: Number of parts in which a replica computes its share: 2, as above,
            or 1.
        train_steps: Compiled function that trains on several batches, images and labels
            with a leading axis of steps. It returns the losses, the sums of top-1 and
            top-5 hits, and which variables are finite.

    Raises:
        InputError: `batch_size` is not divisible by the number of replicas, or
            `jit_compile` is used with several replicas and batch normalisation.

    Example:
        >>> from tfsupermask.data import TrainBatches
        >>> optimizer = SGDWithL2(0.1, 0.9, 1e-4)
        >>> optimizer.build(model.trainable_variables)
        >>> loop = Loop(model, optimizer, make_strategy("single"), dataset, 10)
        >>> batches = TrainBatches(dataset.train, 10, 0, 1, False)
        >>> [(step, some.images) for step, some in loop.train_epoch(batches, epoch=0)]
        [(9, 90)]
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        dataset: Dataset,
        batch_size: int,
        jit_compile: bool = False,
        redraw_steps: int | None = None,
        label_smoothing: float = 0.0,
    ):
        replicas = strategy.num_replicas_in_sync
        if batch_size % replicas:
            raise fail(
                "`batch_size` must be divisible by the number of replicas.",
                batch_size=batch_size,
                replicas=replicas,
            )
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.batch_size = batch_size
        self._draws = [weight.draw for weight in stochastic_weights(model)]
        self._redraw_steps = redraw_steps
        self._label_smoothing = label_smoothing
        self._dataset = dataset
        self._share = batch_size // replicas
        normalises = any(
            isinstance(layer, keras.layers.BatchNormalization)
            for layer in model._flatten_layers()
        )
        # Replicas exchange its averages, and XLA cannot do that.
        if jit_compile and normalises and replicas > 1:
            raise fail(
                "`jit_compile` works for models with batch normalisation on one "
                "replica only.",
                model=model.name,
                replicas=replicas,
            )
        # Batch normalisation needs the whole batch: in halves it would be another one.
        self.num_parts = 1 if normalises or batch_size % 2 or replicas > 1 else 2
        # `ops.native.usable` keeps the native ops out of XLA.
        self._compute_gradients = (
            tf.function(self._gradients, jit_compile=True)
            if jit_compile
            else self._gradients
        )
        self.train_steps = tf.function(self._train_steps, reduce_retracing=True)
        self._evaluate_call = tf.function(self._evaluate_batch, reduce_retracing=True)

    def train_epoch(
        self, batches: TrainBatches, epoch: int, first_step: int = 0
    ) -> Iterator[tuple[int, Totals]]:
        """Trains one epoch in chunks of several steps.

        Args:
            batches: The training images.
            epoch: Counted from 0; determines the order of the images.
            first_step: Number of its steps that are done already. Defaults to 0.

        Yields:
            After each chunk, the number of steps done in the epoch and the totals of
            the chunk.

        Raises:
            InputError: The loss or a score or weight is not finite. The model cannot be
                used afterwards.
        """
        for first, (images, labels) in self._chunks_ahead(batches, epoch, first_step):
            losses, top1, top5, finite = (
                result.numpy() for result in self.train_steps(images, labels)
            )
            if not np.isfinite(losses).all():
                step = int(np.argmin(np.isfinite(losses)))
                raise self._diverged(epoch, first + step, loss=float(losses[step]))
            # A mask hides scores that are not finite, so the loss may look right.
            if not finite.all():
                variable = self.model.trainable_variables[int(np.argmin(finite))]
                last = first + len(losses) - 1
                raise self._diverged(epoch, last, weight=variable.path)
            yield (
                first + len(losses),
                Totals(
                    float(losses.sum(dtype=np.float64)) * self.batch_size,
                    float(top1),
                    float(top5),
                    len(losses) * self.batch_size,
                ),
            )

    def _chunks_ahead(self, batches, epoch, first_step):
        """Yields each chunk's first step and shares; a thread makes the next chunk."""
        step_bytes = self._share * int(np.prod(self._dataset.image_shape))
        per_call = min(STEPS_PER_CALL, max(1, _BYTES_PER_CALL // step_bytes))

        def chunk(first):
            count = min(per_call, batches.steps_per_epoch - first)
            return first, self._shares(
                lambda position: batches.chunk(
                    epoch, first, count, position, self._share
                )
            )

        starts = range(first_step, batches.steps_per_epoch, per_call)
        with ThreadPoolExecutor(1) as worker:
            ahead = [worker.submit(chunk, start) for start in starts[:1]]
            for start in starts[1:]:
                ahead.append(worker.submit(chunk, start))
                yield ahead.pop(0).result()
            for last in ahead:
                yield last.result()

    def _diverged(self, epoch, step, **received):
        return fail(
            f"The loss and what is trained must stay finite; by step {step + 1} of "
            f"epoch {epoch + 1} they did not. Try a smaller learning rate or another "
            "initialisation.",
            **received,
            learning_rate=float(self.optimizer.learning_rate),
        )

    def evaluate(
        self, split: Split, between: Callable[[], None] = lambda: None
    ) -> Totals:
        """Returns the totals over a split; every image counts exactly once.

        It calls `between` every few batches.
        """
        sums = []
        for number, start in enumerate(range(0, len(split), self.batch_size)):
            if number % STEPS_PER_CALL == 0:
                between()
            shares = self._shares(
                lambda position, start=start: eval_rows(
                    split, start + position, self._share
                )
            )
            sums.append(self._evaluate_call(*shares))
        # Read at the end, so that a device never waits for the host.
        each = (Totals(*(float(value) for value in values)) for values in sums)
        return sum(each, Totals())

    def _shares(self, rows_from):
        """Returns its rows of a batch for each replica of this process."""

        def share(context):
            first = context.replica_id_in_sync_group * self._share
            return tuple(map(tf.convert_to_tensor, rows_from(first)))

        return self.strategy.experimental_distribute_values_from_function(share)

    def normalise(self, images: tf.Tensor) -> tf.Tensor:
        """Returns what the model takes: float32 (images / 255 - mean) / std."""
        mean, std = self._dataset.mean, self._dataset.std
        return normalise(tf.cast(images, tf.float32), mean, std)

    def _train_steps(self, images, labels):
        """Returns the losses, the numbers of hits, and which variables are finite."""
        num_steps = tf.shape(self.strategy.experimental_local_results(labels)[0])[0]
        losses = tf.TensorArray(tf.float32, num_steps)
        top1 = top5 = 0.0
        for step in tf.range(num_steps):
            # Outside of the replicas, so that all of them see the same masks.
            for draw in self._draws:
                draw.assign(tf.cast(self.optimizer.iterations.value, tf.int32) + 1)
            per_replica = self.strategy.run(self.train_on_share, (images, labels, step))
            loss, hits1, hits5 = (self._sum(value) for value in per_replica)
            if self._redraw_steps:
                self._redraw()
            losses = losses.write(step, loss)
            top1, top5 = top1 + hits1, top5 + hits5
        for draw in self._draws:
            draw.assign(THRESHOLDED)
        finite = [
            tf.reduce_all(tf.math.is_finite(variable.value))
            for variable in self.model.trainable_variables
        ]
        return losses.stack(), top1, top5, tf.stack(finite)

    def _redraw(self):
        step = tf.cast(self.optimizer.iterations.value, tf.int32)
        if step % self._redraw_steps == 0:
            redraw_removed(self.model, step // self._redraw_steps)

    def train_on_share(self, images, labels, step):
        """Trains on a replica's share of one of several batches, see `train_steps`."""
        *totals, gradients = self._compute_gradients(images[step], labels[step])
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return totals

    def _gradients(self, images, labels):
        """Returns the loss, hits and gradients of a replica's share."""
        variables = [variable.value for variable in self.model.trainable_variables]
        parts = self._in_parts(self.normalise(images), labels)
        with tf.GradientTape(persistent=True) as tape, masks_found_once(self.model):
            sums = [self._objective_loss_and_hits(*part) for part in parts]
        return _add([(*each, tape.gradient(goal, variables)) for goal, *each in sums])

    def _in_parts(self, *batch):
        size = self._share // self.num_parts
        for first in range(0, self._share, size):
            yield tuple(component[first : first + size] for component in batch)

    def _objective_loss_and_hits(self, images, labels):
        """Returns of a part of the batch what is trained on, the loss and the hits.

        A network of one's own may add losses, which are means over a batch.
        """
        logits = self.model(images, training=True)
        each = loss_and_hits(logits, labels, self._label_smoothing)
        loss, *hits = (tf.reduce_sum(values) for values in each)
        loss = objective = loss / self.batch_size
        parts = self.num_parts * self.strategy.num_replicas_in_sync
        for added in self.model.losses:
            objective += tf.reduce_sum(tf.cast(added, tf.float32)) / parts
        return objective, loss, *hits

    def _evaluate_batch(self, images, labels, weights):
        per_replica = self.strategy.run(self._evaluate_step, (images, labels, weights))
        return [self._sum(value) for value in per_replica]

    def _evaluate_step(self, images, labels, weights):
        parts = self._in_parts(self.normalise(images), labels, weights)
        with masks_found_once(self.model):
            return _add([self._evaluation_sums(*part) for part in parts])

    def _evaluation_sums(self, images, labels, weights):
        each = loss_and_hits(self.model(images, training=False), labels)
        sums = [tf.reduce_sum(values * weights) for values in each]
        return *sums, tf.reduce_sum(weights)

    def _sum(self, per_replica):
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)


def _add(parts):
    """Adds nested tuples and lists of tensors, element by element."""
    return tf.nest.map_structure(_total, *parts)


def _total(first, *others):
    """Adds tensors; a gradient may also be of some rows alone, or `None` in all."""
    if first is None:
        return None
    return sum(map(tf.convert_to_tensor, others), tf.convert_to_tensor(first))
