"""What PatchesInit may be asked for, and what that makes of each layer."""

from __future__ import annotations

import dataclasses

from tfsupermask import patches as p
from tfsupermask._validation import check_choice, check_number, fail
from tfsupermask.init.convolutions import Convolution
from tfsupermask.ops import derive_seed


def check_share(name: str, value: float) -> float:
    """Returns `value` as a float, which must be in (0, 1]."""
    if check_number(name, value, above=True) > 1:
        raise fail(f"`{name}` must be at most 1.", **{name: value})
    return float(value)


@dataclasses.dataclass(frozen=True)
class Variant:
    """How PatchesInit differs from the thesis; by default in nothing.

    Attributes:
        cluster_space: In which space k-means groups patches: `"raw"` (default),
            `"centred"` or `"whitened"`, see `tfsupermask.patches.coordinates`.
        filter_space: In which space patterns become filters: `"raw"` (default),
            `"centred"` or `"whitened"`, see `tfsupermask.patches.to_space`.
        select: Which clusters become filters: those chosen by `"entropy"` (default),
            the largest (`"size"`), or any (`"random"`).
        pattern_fraction: Fraction in (0, 1] of a layer's filters that get patterns, at
            least one; the others, behind them, stay as they are. Defaults to 1.
        scale: `"xavier"` (default, eq. 4.2) or `"kaiming"`, the filters' variance.
        fan_correction: Whether supermask layers divide the filters' standard deviation
            by √(1 - their sparsity), as in `initialize`. Defaults to `False`.
        signs_only: Whether filters keep their signs alone, all weights of the same
            magnitude. Defaults to `False`.

    Raises:
        InputError: An option is not as above.

    Example:
        >>> whitened = Variant(cluster_space="whitened", filter_space="whitened")
        >>> PatchesInit(num_patches=2000, num_clusters=100, variant=whitened).seed
        0

    Reference:
        - Coates and Ng, 2012, "Learning feature representations with k-means": patches
          minus their mean, whitened and grouped by direction.
        - Ramanujan et al., 2020: Kaiming's variance, its correction, and signs at one
          magnitude, for frozen weights that are drawn.
    """

    cluster_space: str = "raw"
    filter_space: str = "raw"
    select: str = "entropy"
    pattern_fraction: float = 1.0
    scale: str = "xavier"
    fan_correction: bool = False
    signs_only: bool = False

    def __post_init__(self):
        check_choice("cluster_space", self.cluster_space, p.SPACES)
        check_choice("filter_space", self.filter_space, p.SPACES)
        check_choice("select", self.select, p.SELECTIONS)
        check_share("pattern_fraction", self.pattern_fraction)
        check_choice("scale", self.scale, p.SCALES)


@dataclasses.dataclass(frozen=True)
class LayerPlan:
    """A convolution, and what the settings ask of it."""

    convolution: Convolution
    num_patches: int  # P of this layer
    num_clusters: int  # C of this layer
    num_patterns: int  # filters that get patterns
    discriminative: bool  # clusters of low entropy come first
    selects: bool  # clusters are chosen among more
    repeats: bool  # a pattern may become several filters, those of different channels
    base_seed: int

    def seed(self, purpose: str) -> int:
        """Returns the seed of one of the layer's draws."""
        return derive_seed(self.base_seed, purpose, self.convolution.number)


def plan_layer(settings, convolution: Convolution, last: int) -> LayerPlan:
    """Returns what a `PatchesInit` asks of a layer, which must get enough clusters."""
    number, fraction = convolution.number, settings.variant.pattern_fraction
    doubled = settings.double_from is not None and number >= settings.double_from
    factor = 2 if doubled else 1
    num_patterns = max(1, round(fraction * convolution.shape[-1]))
    selects = settings.num_clusters is not None
    repeats = convolution.depthwise and selects
    limit = "num_clusters" if selects else "num_patches"
    most = getattr(settings, limit)
    if num_patterns > factor * most and not repeats:
        raise fail(
            f"{'Twice ' if doubled else ''}`{limit}` must be at least the "
            f"{num_patterns} filters of layer '{convolution.name}'.",
            **{limit: most},
        )
    return LayerPlan(
        convolution,
        num_patches=factor * settings.num_patches,
        num_clusters=factor * settings.num_clusters if selects else num_patterns,
        num_patterns=num_patterns,
        discriminative=number >= (settings.discriminative_from or last),
        selects=selects,
        repeats=repeats,
        base_seed=settings.seed,
    )
