"""What all patches have in common: mean, spread, principal components (§4.2.2)."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import ArpackError, eigsh
from threadpoolctl import threadpool_limits

from tfsupermask import _core
from tfsupermask._validation import fail
from tfsupermask.patches.ranges import LARGEST, exponent_of

NUM_COMPONENTS = 27  # thesis §5.2
FLAT = 1e-5  # of the largest value; deviations below it are rounding errors
# Times what 99 of 100 patches stay within: larger values do not count for the peak, or
# leave the patch out, as beside them the others are lost in single precision.
_FAR, _LOST = 2.0**10, 2.0**24
_LONG = 64  # values a component; finding all eigenvectors then takes long
_BYTES_IN_CACHE = 2**18
_SHORT = 100  # values; products of so few are cheap in any precision


@dataclasses.dataclass(frozen=True)
class Survey:
    """What one pass over all patches finds, those left out having no deviation."""

    mean: np.ndarray  # float64 (values of a patch,)
    covariance: np.ndarray  # float64 (values, values)
    deviation: np.ndarray  # float32 (patches,), inside each; NaN for those left out
    peak: float  # largest absolute value, at most 2¹⁰ times what 99 of 100 stay within

    @property
    def counted(self) -> np.ndarray:
        """Which patches mean and covariance are of: bool array (P,)."""
        return np.isfinite(self.deviation)

    @property
    def not_flat(self) -> np.ndarray:
        """Which patches vary at all: bool array (P,), as eq. 4.2 divides by σ."""
        return self.deviation > FLAT * self.peak

    def only(self, chosen: np.ndarray) -> Survey:
        """Returns it for the chosen patches, with what all have in common."""
        return dataclasses.replace(self, deviation=self.deviation[chosen])


def survey(blocks: Iterable[np.ndarray]) -> Survey:
    """Accumulates mean, covariance and spread over blocks of patches.

    Args:
        blocks: float32 arrays (patches, ...); their sizes decide how sums are rounded.

    Returns:
        Their mean, covariance and largest absolute value, and the standard deviation
        inside each; the same whatever the number of threads, and for values of any
        scale. The largest counts up to 2¹⁰ times what 99 of 100 patches stay within;
        patches with values from 2²⁴ times on, or not finite, are left out.

    Example:
        >>> patches = np.random.rand(100, 3, 3, 8).astype("float32")
        >>> survey([patches[:60], patches[60:]]).covariance.shape
        (72, 72)
    """
    blocks = iter(blocks)
    with threadpool_limits(1):
        first = next(blocks)
    median, high = _common_sizes(first.reshape(len(first), -1))
    exponent = exponent_of(median)
    high = math.ldexp(high, -exponent)
    most = min(LARGEST, _LOST * high)

    def scaled(block):
        flat = block.reshape(len(block), -1)
        with np.errstate(over="ignore"):
            return np.ldexp(flat, -exponent) if exponent else flat

    # Activations may lie far from zero: take their squares near the mean.
    shift = _mean_of_those_within(scaled(first), most)

    def sums_of(block):
        flat = scaled(block)
        centred, deviation, largest = _centre(flat, shift)
        if not (np.isfinite(deviation).all() and largest < most):
            within = np.abs(flat).max(axis=1) < most
            deviation[~within] = np.nan
            centred, _, largest = _centre(flat[within], shift)
        # Pixels have directions of so little variance that single precision blurs them.
        exact = np.float64 if centred.shape[1] <= _SHORT else np.float32
        factor = centred.astype(exact, copy=False)
        # NumPy's product lets other threads run, SciPy's BLAS does not.
        squares = factor.T @ factor
        return centred.sum(axis=0, dtype=np.float64), squares, deviation, largest

    total, products = np.zeros(len(shift)), np.zeros((len(shift), len(shift)))
    deviations, peak = [], 0.0
    every = itertools.chain([first], blocks)
    del first
    for sums, squares, deviation, largest in _in_threads(sums_of, every):
        total += sums
        products += squares
        deviations.append(deviation)
        peak = max(peak, min(largest, _FAR * high))
    deviation = np.concatenate(deviations)
    count = max(1, int(np.isfinite(deviation).sum()))
    offset = total / count
    covariance = products / count - np.outer(offset, offset)
    return Survey(
        np.ldexp(shift + offset, exponent),
        np.ldexp(covariance, 2 * exponent),
        np.ldexp(deviation, exponent) if exponent else deviation,
        math.ldexp(peak, exponent),
    )


def principal_components(
    survey: Survey, num_components: int = NUM_COMPONENTS
) -> np.ndarray:
    """Returns orthonormal directions of largest variance, float64 (components, d)."""
    # Of each the largest entry by magnitude is positive.
    length = len(survey.mean)
    if not np.isfinite(survey.covariance).all():
        raise fail(
            "The covariance must be finite.", trace=float(survey.covariance.trace())
        )
    kept = min(num_components, length, len(survey.deviation))
    with threadpool_limits(1):
        components = _leading_eigenvectors(survey.covariance, kept).T[::-1]
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return components * signs[:, None]


def project(
    blocks: Iterable[np.ndarray], mean: np.ndarray, components: np.ndarray
) -> np.ndarray:
    """Returns the coordinates of patches minus a mean: float32 (P, components)."""
    offset, basis = mean.astype(np.float32), components.T.astype(np.float32)

    def projection_of(block):
        return (block.reshape(len(block), -1) - offset) @ basis

    return np.concatenate(list(_in_threads(projection_of, blocks)))


def _common_sizes(flat):
    """Returns the median of the rows' largest values, and the last but a hundredth.

    Without 0 and infinite ones; 0 and infinity if there are no others.
    """
    largest = np.sort(np.abs(flat).max(axis=1))
    largest = largest[np.isfinite(largest) & (largest > 0)]
    if not len(largest):
        return 0.0, math.inf
    return float(np.median(largest)), float(largest[-1 - round(len(largest) / 100)])


def _mean_of_those_within(flat, most):
    """Returns the mean of the rows without huge values; zeros if there are none."""
    within = flat[(np.abs(flat) < most).all(axis=1)]
    return within.sum(axis=0) / max(1, len(within))


def _centre(flat, shift):
    """Returns `flat - shift`, each row's deviation and the largest absolute value."""
    centred, deviation = np.empty_like(flat), np.empty(len(flat), flat.dtype)
    peak = 0.0
    width = flat.shape[1]
    # Parts that fit in the cache, as each is read several times.
    step = max(1, _BYTES_IN_CACHE // (width * flat.itemsize))
    for first in range(0, len(flat), step):
        rows = flat[first : first + step]
        with np.errstate(invalid="ignore", over="ignore"):
            deviation[first : first + step] = rows.std(axis=1)
        peak = max(peak, rows.max(), -rows.min())
        np.subtract(rows, shift, out=centred[first : first + step])
    return centred, deviation, float(peak)


def _leading_eigenvectors(matrix, count):
    """Returns the eigenvectors of the largest eigenvalues, ascending, in columns."""
    size = len(matrix)
    if size > _LONG * count:
        try:
            values, vectors = eigsh(matrix, count, which="LA", rng=0)
            return vectors[:, np.argsort(values)]
        except ArpackError:  # of a matrix of zeros, for example
            pass
    return scipy.linalg.eigh(matrix, subset_by_index=[size - count, size - 1])[1]


def _in_threads(function, blocks):
    """Maps a function over blocks: a few at a time, results in order."""
    # BLAS has one thread inside, so that results do not depend on their number.
    workers = _core.hardware_threads()
    pending: collections.deque = collections.deque()
    # OpenMP keeps its limit by thread: each worker sets its own.
    each = {"initializer": threadpool_limits, "initargs": (1,)}
    with threadpool_limits(1), ThreadPoolExecutor(workers, **each) as pool:
        for block in blocks:
            pending.append(pool.submit(function, block))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
