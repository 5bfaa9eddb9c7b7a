"""A model's predictions: its confusion matrix and its most confident mistakes."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tfsupermask.data import Dataset, Split, eval_chunks
from tfsupermask.train import LoadedRun
from tfsupermask.train.evaluation import BATCH_SIZE

_MAX_MISTAKES = 18
_RIGHT = (36, 99, 190)
_WRONG = (214, 92, 24)


@dataclasses.dataclass(frozen=True, eq=False)
class Mistake:
    """A wrongly classified image, and the probability of the predicted class."""

    image: np.ndarray
    label: int
    predicted: int
    probability: float


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """A model's predictions for a split."""

    confusion: np.ndarray  # int64, number of images by true (row) and predicted class
    mistakes: tuple[Mistake, ...]  # those of the highest probabilities, highest first

    @property
    def class_accuracies(self) -> np.ndarray:
        """Accuracy on each class's images; NaN for a class without images."""
        with np.errstate(invalid="ignore"):
            return np.diag(self.confusion) / self.confusion.sum(axis=1)

    @property
    def confused_pairs(self) -> list[tuple[int, int, int]]:
        """(true class, predicted class, images), most frequent confusion first."""
        wrong = self.confusion * (1 - np.eye(len(self.confusion), dtype=np.int64))
        pairs = [(t, p, int(wrong[t, p])) for t, p in np.argwhere(wrong).tolist()]
        return sorted(pairs, key=lambda pair: -pair[2])


def predict(run: LoadedRun, dataset: Dataset) -> Predictions:
    """Returns the predictions of a run's model for the images of its `epoch_split`."""
    split = getattr(dataset, run.config.epoch_split)
    forward = tf.function(lambda images: run.model(images, training=False))
    chunks = eval_chunks(split, BATCH_SIZE)
    logits = np.float32(
        np.concatenate([forward(run.normalise(images)) for images, *_ in chunks])
    )[: len(split)]
    predicted = logits.argmax(axis=1)
    confusion = np.zeros((dataset.num_classes,) * 2, np.int64)
    np.add.at(confusion, (split.labels, predicted), 1)
    return Predictions(confusion, _worst(split, logits, predicted))


def _worst(split: Split, logits, predicted) -> tuple[Mistake, ...]:
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    best = probabilities[np.arange(len(predicted)), predicted]
    wrong = np.flatnonzero(predicted != split.labels)
    order = wrong[np.argsort(-best[wrong], kind="stable")][:_MAX_MISTAKES]
    labels = split.labels
    return tuple(
        Mistake(split.images[i], int(labels[i]), int(predicted[i]), float(best[i]))
        for i in order
    )


def shade(confusion: np.ndarray) -> np.ndarray:
    """Returns the square roots of the cells' shares of their rows: small ones show."""
    totals = confusion.sum(axis=1, keepdims=True)
    return np.sqrt(confusion / np.maximum(totals, 1))


def confusion_map(confusion: np.ndarray) -> np.ndarray:
    """Returns a confusion matrix as RGBA: right blue, wrong orange, opacity `shade`."""
    right = np.eye(len(confusion), dtype=bool)[..., None]
    colour = np.where(right, np.uint8(_RIGHT), np.uint8(_WRONG))
    opacity = np.uint8(np.round(255 * shade(confusion)))
    return np.concatenate([colour, opacity[..., None]], axis=2)
