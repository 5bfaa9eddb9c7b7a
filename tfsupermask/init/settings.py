"""What PatchesInit may be asked for, and what that makes of each layer."""

from __future__ import annotations

import dataclasses

from tfsupermask import patches as p
from tfsupermask._validation import check_choice, fail
from tfsupermask.init.convolutions import Convolution
from tfsupermask.ops import derive_seed


@dataclasses.dataclass(frozen=True)
class Variant:
    """How PatchesInit differs from the thesis; by default in nothing.

    Attributes:
        cluster_space: In which space k-means groups patches: `"raw"` (default),
            `"centred"` or `"whitened"`, see `tfsupermask.patches.coordinates`.
        filter_space: In which space patterns become filters: `"raw"` (default),
            `"centred"` or `"whitened"`, see `tfsupermask.patches.to_space`.
        select: Which clusters become filters: those chosen by `"entropy"` (default), by
            what they add to a linear classifier of the images (`"linear"`, see
            `tfsupermask.patches.linear_ranking`), the largest (`"size"`), or any
            (`"random"`).
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
        - Ramanujan et al., 2020: signs at one magnitude, for weights that are drawn.
    """

    cluster_space: str = "raw"
    filter_space: str = "raw"
    select: str = "entropy"
    signs_only: bool = False

    def __post_init__(self):
        check_choice("cluster_space", self.cluster_space, p.SPACES)
        check_choice("filter_space", self.filter_space, p.SPACES)
        check_choice("select", self.select, p.SELECTIONS)
        check_choice("signs_only", self.signs_only, (False, True))


@dataclasses.dataclass(frozen=True)
class LayerPlan:
    """A convolution, and what the settings ask of it."""

    convolution: Convolution
    num_patches: int  # P of this layer
    num_clusters: int  # C of this layer
    discriminative: bool  # clusters of low entropy come first
    selects: bool  # clusters are chosen among more
    repeats: bool  # a pattern may become several filters, those of different channels
    base_seed: int

    @property
    def num_patterns(self) -> int:
        """The number of filters: each gets a pattern."""
        return self.convolution.shape[-1]

    def seed(self, purpose: str) -> int:
        """Returns the seed of one of the layer's draws."""
        return derive_seed(self.base_seed, purpose, self.convolution.number)


def plan_layer(settings, convolution: Convolution, last: int) -> LayerPlan:
    """Returns what a `PatchesInit` asks of a layer, which must get enough clusters."""
    number, num_filters = convolution.number, convolution.shape[-1]
    doubled = settings.double_from is not None and number >= settings.double_from
    factor = 2 if doubled else 1
    selects = settings.num_clusters is not None
    repeats = convolution.depthwise and selects
    limit = "num_clusters" if selects else "num_patches"
    most = getattr(settings, limit)
    if num_filters > factor * most and not repeats:
        raise fail(
            f"{'Twice ' if doubled else ''}`{limit}` must be at least the "
            f"{num_filters} filters of layer '{convolution.name}'.",
            **{limit: most},
        )
    return LayerPlan(
        convolution,
        num_patches=factor * settings.num_patches,
        num_clusters=factor * settings.num_clusters if selects else num_filters,
        discriminative=number >= (settings.discriminative_from or last),
        selects=selects,
        repeats=repeats,
        base_seed=settings.seed,
    )
