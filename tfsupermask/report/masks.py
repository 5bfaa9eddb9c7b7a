"""Statistics of masks for a report, and how far two masks agree."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfsupermask.layers import MaskedWeight

_BINS = 40


@dataclasses.dataclass(frozen=True, eq=False)
class MaskStatistics:
    """One masked weight in numbers.

    The histogram, int64 (2, 40), counts all weights and the kept ones by what is
    trained, their scores or themselves, within three standard deviations of the mean;
    the outermost bins also hold those beyond.
    """

    name: str  # such as conv1/kernel
    kind: str  # the class of its layer
    shape: tuple[int, ...]
    num_kept: int
    bits: np.ndarray  # of the mask in flat order, eight in a byte
    trained: str  # "Scores" or "Weights"
    mean: float  # of what is trained, as all below
    std: float
    range: tuple[float, float]
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
    """Fraction of mask bits that are equal, and the same for independent masks."""

    measured: float
    chance: float


def mask_statistics(weight: MaskedWeight, name: str) -> MaskStatistics:
    """Returns the statistics of a masked weight in a built layer."""
    values, keeps = weight.trained.numpy(), weight.mask.numpy() != 0
    mean = float(values.mean(dtype=np.float64))
    std = float(values.std(dtype=np.float64))
    return MaskStatistics(
        name=name,
        kind=type(weight.layer).__name__,
        shape=tuple(values.shape),
        num_kept=int(keeps.sum()),
        bits=np.packbits(keeps),
        trained="Weights" if weight.method.trains_kernel else "Scores",
        mean=mean,
        std=std,
        range=(float(values.min()), float(values.max())),
        histogram=np.stack(
            [_histogram(some, mean, 3 * std) for some in (values, values[keeps])]
        ),
    )


def _histogram(values, mean, reach):
    low, high = mean - reach, mean + reach
    counts, _ = np.histogram(np.clip(values, low, high), _BINS, (low, high))
    return counts


def same_architecture(
    a: tuple[MaskStatistics, ...], b: tuple[MaskStatistics, ...]
) -> bool:
    """Returns whether two models' masks have the same names and shapes."""
    return [(m.name, m.shape) for m in a] == [(m.name, m.shape) for m in b]


def agreement(
    a: tuple[MaskStatistics, ...], b: tuple[MaskStatistics, ...]
) -> Agreement:
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
