"""The accuracy of runs, exports, and any function from images to logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfsupermask._validation import check_integer, fail
from tfsupermask.data import Dataset, Split, eval_chunks
from tfsupermask.export import Classifier, is_export
from tfsupermask.layers import drawn, stochastic_weights
from tfsupermask.train.load import load_run
from tfsupermask.train.totals import Totals, loss_and_hits

BATCH_SIZE = 256


def evaluate(logits_of: Callable[[np.ndarray], np.ndarray], split: Split) -> Totals:
    """Returns the totals over a split; every image counts exactly once.

    Args:
        logits_of: Function from uint8 images (batch, height, width, 3) to float32
            logits (batch, classes).
        split: Images and labels.

    Example:
        >>> classifier = Classifier("runs/my_run/saved_model")
        >>> total = evaluate(classifier.logits, dataset.test)
        >>> total.images, sorted(total.means("test_"))
        (24.0, ['test_loss', 'test_top1', 'test_top5'])
    """
    total = Totals()
    for images, labels, weights in eval_chunks(split, BATCH_SIZE):
        each = loss_and_hits(tf.convert_to_tensor(logits_of(images)), labels)
        sums = [float(tf.reduce_sum(values * weights)) for values in each]
        total += Totals(*sums, float(weights.sum()))
    return total


def evaluate_path(path: str | Path, dataset: Dataset, samples: int = 0) -> Totals:
    """Evaluates a run folder or an export on the test split of a dataset.

    Args:
        path: A run folder (its newest checkpoint is used), or what `Classifier` takes.
        dataset: Images with the model's size and classes.
        samples: Number of draws of a stochastic mask; the predicted probabilities are
            averaged over them. Defaults to 0, the mask without chance.

    Returns:
        The totals; every image counts exactly once.

    Raises:
        InputError: `path` is neither, the dataset does not fit the model, or `samples`
            is above 0 and `path` is not a run with stochastic masks.

    Example:
        >>> evaluate_path("runs/my_run", dataset).images
        24.0
        >>> evaluate_path("runs/my_run/saved_model", dataset).images
        24.0

    Reference:
        - Zhou et al., 2019, §5, who average 10 draws.
    """
    check_integer("samples", samples)
    run = None if is_export(path) else load_run(path)
    if samples and not (run and stochastic_weights(run.model)):
        raise fail(
            "`samples` applies to the folder of a run with stochastic masks only.",
            path=str(path),
            samples=samples,
        )
    source = run or Classifier(path)
    _check_fits(dataset, source)
    if run is None:
        return evaluate(source.logits, dataset.test)
    forward = tf.function(lambda images: run.model(images, training=False))

    def logits_of(images):
        return forward(run.normalise(images)).numpy()

    def mean_logits_of(images):
        total = 0.0
        for number in range(1, samples + 1):
            # Training uses the draws above 0.
            with drawn(run.model, -number):
                logits = tf.cast(forward(run.normalise(images)), tf.float32)
            total += tf.nn.softmax(logits)
        return tf.math.log(total / samples)

    return evaluate(mean_logits_of if samples else logits_of, dataset.test)


def _check_fits(dataset, source):
    shape, class_names = tuple(source.image_shape), source.class_names
    if tuple(dataset.image_shape) != shape:
        raise fail(
            f"The dataset's images must have the model's shape {shape}.",
            image_shape=tuple(dataset.image_shape),
        )
    if dataset.class_names != class_names:
        differing = sorted({*dataset.class_names} ^ {*class_names})
        raise fail(
            f"The dataset's classes must be the model's {len(class_names)}, "
            f"{', '.join(class_names[:3])}, ...",
            dataset=dataset.name,
            classes=len(dataset.class_names),
            differing=differing[:3] or "their order",
        )
