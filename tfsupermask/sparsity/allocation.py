"""Shares sparsities among a model's masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np

from tfsupermask._validation import check_choice
from tfsupermask.layers import MaskedWeight
from tfsupermask.layers.walking import named_weights
from tfsupermask.ops import num_kept
from tfsupermask.sparsity.choosing import Sparsity, choose
from tfsupermask.sparsity.measures import built_weights
from tfsupermask.sparsity.names import ALLOCATIONS


def allocate(
    model: keras.Model, sparsity: Sparsity, allocation: str = "uniform"
) -> None:
    """Sets how many weights each mask of a model keeps.

    Scores and kernels stay as they are. Compiled functions need no retracing.

    Args:
        model: Built model with supermask layers.
        sparsity: Fraction of the masked weights removed, in [0, 1): of all of them
            together, or a dict of fractions by patterns of layer names, or a function
            from a layer, both as `tfsupermask.convert` takes them. Layers with the same
            fraction share it out among themselves; layers with a fraction of 0 are kept
            whole and do not count for the others; layers without a fraction stay as
            they are.
        allocation: `"uniform"` (default): the same fraction of every kernel.
            `"erdos_renyi"`: by shape; a kernel's density is proportional to the sum of
            its dimensions over their product, so that small kernels stay denser.
            `"global"`: by one ranking of what each layer's method ranks: scores,
            multiplied by √fan_in as they start within ±1/√fan_in, or the weights'
            magnitudes. Every kernel keeps at least one weight.

    Raises:
        InputError: An argument is out of range, or the model has no supermask layers
            or is not built.

    Example:
        >>> model = models.build("conv2", sparsity=0.5)
        >>> allocate(model, 0.9, "erdos_renyi")
        >>> [model.get_layer(f"dense{i}").num_kept for i in (1, 2, 3)]
        [409898, 12612, 2560]
        >>> allocate(model, {"conv1": 0, "*": 0.9}, "global")
        >>> model.get_layer("conv1").realised_sparsity
        0.0

    Reference:
        - Ramanujan et al., 2020, for "uniform".
        - Evci et al., 2020, "Rigging the lottery: making all tickets winners"
          (Erdős–Rényi-kernel), after Mocanu et al., 2018.
        - Frankle & Carbin, 2019, "The lottery ticket hypothesis", prune deep networks
          by one ranking of the weights' magnitudes over all layers.
    """
    check_choice("allocation", allocation, ALLOCATIONS)
    share_out(*chosen(model, sparsity), allocation)


def chosen(
    model: keras.Model, sparsity: Sparsity
) -> tuple[list[MaskedWeight], list[float | None]]:
    """Returns the masked weights, and of each the fraction to remove or `None`."""
    weights = built_weights(model)
    named = [(weight.layer, weight, names) for weight, names in named_weights(model)]
    return weights, choose(sparsity, named)


def share_out(
    weights: Sequence[MaskedWeight],
    sparsities: Sequence[float | None],
    allocation: str,
) -> None:
    """Sets how many weights are kept; those with the same sparsity share it out."""
    groups: dict[float, list[MaskedWeight]] = {}
    for weight, sparsity in zip(weights, sparsities, strict=True):
        if sparsity is not None:
            weight.check_sparsity(sparsity)
            groups.setdefault(sparsity, []).append(weight)
    for sparsity, group in groups.items():
        if allocation == "uniform":
            for weight in group:
                weight.sparsity = sparsity
            continue
        if allocation == "erdos_renyi":
            shapes = [tuple(weight.kernel.shape) for weight in group]
            counts = erdos_renyi_counts(shapes, sparsity)
        else:
            counts = global_counts([_comparable(each) for each in group], sparsity)
        for weight, count in zip(group, counts, strict=True):
            weight.num_kept = count


def _comparable(weight):
    """Returns the ranking of a weight's method, which of scores ignores the fan_in."""
    # In double precision different scores stay different.
    score = weight.score.numpy().astype(np.float64)
    factor = math.sqrt(weight.fans[0]) if weight.method.has_scores else 1.0
    return weight.method.rank(score) * factor


def erdos_renyi_counts(
    shapes: Sequence[Sequence[int]], sparsity: float
) -> tuple[int, ...]:
    """Returns how many weights of each kernel to keep, from 1 to all, by the shapes."""
    sizes = np.array([math.prod(shape) for shape in shapes])
    total = _total_kept(sizes, sparsity)
    wished = np.array([sum(shape) or 1 for shape in shapes], np.float64)
    return _round_to(_scale_between(wished, 1, sizes, total), total)


def global_counts(ranked: Sequence[np.ndarray], sparsity: float) -> tuple[int, ...]:
    """Returns how many weights of each kernel are among the best ranked of all.

    The best weight of each kernel is always kept. Among equal values, earlier kernels
    win. NaN ranks below every number.
    """
    sizes = np.array([np.size(values) for values in ranked])
    places = _total_kept(sizes, sparsity) - len(sizes)
    if not places:
        return (1,) * len(sizes)
    # Ascending, so that partition puts the best value of each kernel first.
    rests = [np.partition(_ascending(values), 0)[1:] for values in ranked]
    threshold = np.partition(np.concatenate(rests), places - 1)[places - 1]
    above = np.array([np.count_nonzero(rest < threshold) for rest in rests])
    tied = np.array([np.count_nonzero(rest == threshold) for rest in rests])
    taken_before = np.cumsum(tied) - tied
    ties_kept = np.clip(places - above.sum() - taken_before, 0, tied)
    return tuple((1 + above + ties_kept).tolist())


def _ascending(values):
    """Returns flat float64 keys, the smallest for the best value, NaN last."""
    largest = np.finfo(np.float64).max
    key = -np.ravel(np.asarray(values, np.float64))
    return np.nan_to_num(key, nan=np.inf, posinf=largest, neginf=-largest)


def _total_kept(sizes, sparsity):
    return max(len(sizes), num_kept(int(sizes.sum()), sparsity))


def _scale_between(wished, low, high, total):
    """Returns `wished`, scaled and clipped so that it adds up to `total`."""
    # The sum is a piecewise linear function of the factor, with these corners.
    corners = np.unique(np.concatenate([low / wished, high / wished]))
    sums = [np.clip(corner * wished, low, high).sum() for corner in corners]
    return np.clip(np.interp(total, sums, corners) * wished, low, high)


def _round_to(shares, total):
    """Rounds shares to integers with the sum `total`, by largest remainders."""
    counts = np.floor(shares).astype(int)
    order = np.argsort(counts - shares, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return tuple(counts.tolist())
