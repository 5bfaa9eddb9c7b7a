"""Loss and hits of single images, and their sums."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tfsupermask.ops import in_top_k


def loss_and_hits(
    logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0
) -> tuple[tf.Tensor, ...]:
    """Returns cross-entropy, top-1 and top-5 hit of each image, float32 (batch,)."""
    logits = tf.cast(logits, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if label_smoothing:  # Szegedy et al., 2016, "Rethinking the Inception architecture"
        shared = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
        losses = (1 - label_smoothing) * losses + label_smoothing * shared
    return losses, *(in_top_k(logits, labels, k) for k in (1, 5))


@dataclasses.dataclass(frozen=True)
class Totals:
    """Sums over images, for means.

    Attributes:
        loss: Sum of the cross-entropies, in nats.
        top1: Number of images where the right class has the largest logit.
        top5: Number of images where the right class is among the five largest.
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
