"""What a report says of each mask, and how far two masks agree."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfsupermask.layers import MaskedWeight

_BINS = 40


@dataclasses.dataclass(frozen=True, eq=False)
class MaskFacts:
    """One masked weight in numbers.

    Attributes:
        name: The masked weight's name, for example `conv1/kernel`.
        kind: Class of its layer.
        bits: The mask in flat order, eight bits a byte.
        histogram: int64 (2, 40), numbers of weights and of kept weights by score,
            within three standard deviations of the mean; the outermost bins hold those
            beyond.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    num_kept: int
    bits: np.ndarray
    score_mean: float
    score_std: float
    score_range: tuple[float, float]
    histogram: np.ndarray

    @property
    def num_weights(self) -> int:
        """Number of weights in the kernel."""
        return int(np.prod(self.shape))

    @property
    def kept(self) -> float:
        """Fraction of the weights that the mask keeps."""
        return self.num_kept / self.num_weights


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Fraction of mask bits that are equal, and what independent masks would reach."""

    measured: float
    chance: float


def mask_facts(weight: MaskedWeight) -> MaskFacts:
    """Returns the facts of a masked weight of a built layer."""
    scores, keeps = weight.score.numpy(), weight.mask.numpy() != 0
    mean = float(scores.mean(dtype=np.float64))
    std = float(scores.std(dtype=np.float64))
    return MaskFacts(
        name=weight.name,
        kind=type(weight.layer).__name__,
        shape=tuple(scores.shape),
        num_kept=int(keeps.sum()),
        bits=np.packbits(keeps),
        score_mean=mean,
        score_std=std,
        score_range=(float(scores.min()), float(scores.max())),
        histogram=np.stack(
            [_histogram(values, mean, 3 * std) for values in (scores, scores[keeps])]
        ),
    )


def _histogram(scores, mean, reach):
    low, high = mean - reach, mean + reach
    counts, _ = np.histogram(np.clip(scores, low, high), _BINS, (low, high))
    return counts


def same_architecture(a: tuple[MaskFacts, ...], b: tuple[MaskFacts, ...]) -> bool:
    """Returns whether two models' masks have the same names and shapes."""
    return [(m.name, m.shape) for m in a] == [(m.name, m.shape) for m in b]


def agreement(a: tuple[MaskFacts, ...], b: tuple[MaskFacts, ...]) -> Agreement:
    """Returns how far the masks of two models of one architecture agree."""
    total = sum(mask.num_weights for mask in a)
    differing = sum(
        int(np.bitwise_count(one.bits ^ other.bits).sum())
        for one, other in zip(a, b, strict=True)
    )
    by_chance = sum(
        one.num_weights * (one.kept * other.kept + (1 - one.kept) * (1 - other.kept))
        for one, other in zip(a, b, strict=True)
    )
    return Agreement(1 - differing / total, by_chance / total)
