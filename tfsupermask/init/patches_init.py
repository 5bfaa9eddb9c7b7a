"""PatchesInit: Algorithm 1 of the thesis."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfsupermask import patches as p
from tfsupermask._images import ImageArray
from tfsupermask._validation import check_choice, check_integer, fail
from tfsupermask.init.activations import maps_before, one_channel_each
from tfsupermask.init.convolutions import convolutions_in, find_convolutions
from tfsupermask.init.observing import Trace, check_images, normalisations_in, restored
from tfsupermask.init.progress import Progress, Work
from tfsupermask.init.report import PatchesInitReport
from tfsupermask.init.settings import Variant, plan_layer
from tfsupermask.layers import dense_forward
from tfsupermask.ops import derive_seed
from tfsupermask.patches.reduction import NUM_COMPONENTS

_STATISTICS_IMAGES = 250


def algorithm_1(
    settings: PatchesInit,
    work: Work,
    images: ImageArray,
    labels: np.ndarray,
    order: np.ndarray,
    maps_before_layer: Callable,
) -> None:
    """Sets the filters of each layer in turn; the numbers are the thesis's lines."""
    variant = settings.variant
    for layer in work.layers():  # 1
        convolution = layer.convolution

        # Step 1: extract patches from the training data
        work.begin(layer, "extract")
        objects_in = p.rgb_of(images) if convolution.number == 1 else None  # 3, 4
        maps_of = maps_before_layer(convolution.layer)  # 5, 6
        if convolution.depthwise:
            maps_of = one_channel_each(maps_of, layer.seed("channels"))
        source = p.PatchSource(maps_of, labels, order, objects_in)
        size, seed = layer.num_patches, layer.seed("patches")
        patches = p.sample_patches(source, convolution.window, size, seed)  # 8
        survey = p.survey(work.blocks(patches))
        patches, survey, usable = _counted(patches, survey, layer)

        # Step 2: cluster patches and form patterns
        work.begin(layer, "reduce")
        points = p.coordinates(  # 10
            work.blocks(patches), survey, settings.num_components, variant.cluster_space
        )
        work.begin(layer, "cluster")
        clusters = p.cluster(points, layer.num_clusters, layer.seed("kmeans"))  # 11
        work.count(patches)
        work.begin(layer, "select")
        entropy = p.cluster_entropy(clusters, patches.labels)  # 12
        sizes = clusters.sizes
        nearest = p.nearest_patches(clusters, usable)
        usable_sizes = np.where(nearest >= 0, sizes, 0)
        selected = p.select_clusters(  # 13
            entropy,
            usable_sizes,
            layer.num_patterns,
            discriminative=layer.discriminative,
            select=variant.select,
            seed=layer.seed("select"),
            ranking=_linear(variant, points, clusters, patches, usable_sizes, layer),
        )
        selected = _repeated(selected, sizes, layer)
        chosen = _filled_up(nearest[selected], sizes[selected], usable, layer)
        patterns = patches.take(chosen)  # 14

        # Step 3: initialise filter weights from patterns
        work.begin(layer, "assign")
        filters = p.scale_patterns(  # 16
            p.to_space(patterns, survey, variant.filter_space),
            *convolution.kernel.fans,
            signs_only=variant.signs_only,
        )
        convolution.set_filters(filters)  # 17
        work.done(
            layer,
            discriminative=layer.discriminative
            and layer.selects
            and variant.select == "entropy",
            num_patches=len(patches),
            num_clusters=int((sizes > 0).sum()),
            clusters_kept=int((sizes >= p.MIN_CLUSTER_SIZE).sum()),
            sizes=sizes[selected],
            entropies=entropy[selected],
            added_patches=len(chosen) - len(selected),
            image=patches.image[chosen],
            row=patches.row[chosen],
            column=patches.column[chosen],
        )


@dataclasses.dataclass(frozen=True)
class PatchesInit:
    """Initialises convolutions with patterns found in the training images.

    Args:
        num_patches: P, patches sampled for each layer, at least 1. Defaults to 50,000.
        num_clusters: C, clusters they are grouped into, at least the number of patterns
            of every layer. Defaults to 500. `None` makes as many clusters as the layer
            has filters and uses them all, without selection (SimpleInit, §5.6.1).
        discriminative_from: D, the first convolution, counted from 1, that selects
            clusters of low entropy. Defaults to the last one. A number beyond the last
            makes all layers select clusters of high entropy.
        seed: Non-negative integer. Defaults to 0.
        forward: `"dense"` (default) lets all weights of earlier layers take part in
            the activations that patches come from, `"masked"` only those of the model's
            initial, still random, mask.
        only: Names of the convolutions to set, `"outer/inner"` where several have the
            same; the others stay as they are (Partial-PatchesInit, §5.5). Defaults to
            all of them.
        verbose: Whether to show a progress bar. Defaults to `False`.
        num_components: Dimensions to which PCA reduces patches before they are
            clustered, at least 1. Defaults to 27; patches of fewer values keep all.
        double_from: The first convolution, counted from 1, from which on P and C are
            twice as large (§8.3). Defaults to `None`: none.
        variant: How it differs from the thesis, see `Variant`. Defaults to nothing.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> report = PatchesInit(num_patches=2000, num_clusters=100, seed=0).apply(
        ...     model, images, labels, preprocess=lambda batch: np.float32(batch) / 255
        ... )
        >>> print(report)
        layer     clusters  kept  filters   entropy  smallest      s
        conv1 ...
        conv2 ...

    Reference:
        - Thesis §4, Algorithm 1.
    """

    num_patches: int = 50_000
    num_clusters: int | None = 500
    discriminative_from: int | None = None
    _: dataclasses.KW_ONLY
    seed: int = 0
    forward: str = "dense"
    only: Sequence[str] | None = None
    verbose: bool = False
    num_components: int = NUM_COMPONENTS
    double_from: int | None = None
    variant: Variant = dataclasses.field(default_factory=Variant)

    def __post_init__(self):
        check_integer("num_patches", self.num_patches, minimum=1)
        check_integer("num_components", self.num_components, minimum=1)
        for name in ("num_clusters", "discriminative_from", "double_from"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), minimum=1)
        check_integer("seed", self.seed)
        check_choice("forward", self.forward, ("dense", "masked"))
        if self.only is not None:
            only = [self.only] if isinstance(self.only, str) else self.only
            object.__setattr__(self, "only", tuple(only))
        if not isinstance(self.variant, Variant):
            raise fail("`variant` must be a `Variant`.", variant=self.variant)
        if self.discriminative_from is not None and self.variant.select != "entropy":
            raise fail(
                "`discriminative_from` needs a variant that selects by entropy.",
                discriminative_from=self.discriminative_from,
                select=self.variant.select,
            )
        if self.num_clusters is not None and self.num_clusters > self.num_patches:
            raise fail(
                "`num_clusters` must be at most `num_patches`.",
                num_clusters=self.num_clusters,
                num_patches=self.num_patches,
            )

    def apply(
        self,
        model: keras.Model,
        images: ImageArray,
        labels: np.ndarray,
        preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
        progress_dir: str | os.PathLike | None = None,
    ) -> PatchesInitReport:
        """Sets the kernels of the model's convolutions, in the order of their calls.

        They may be anywhere in the model: in models inside it, in wrappers such as
        `TimeDistributed`, in layers of one's own. The first call of a layer counts.
        Filters and patches of a depthwise kernel, also in a separable convolution, see
        one channel each. Where there are more such filters than clusters of at least 5
        patches, the best clusters serve again.

        Dense layers and 1x1, grouped and transposed convolutions stay as they are. The
        report says which convolutions were skipped and why.

        Args:
            model: Any built Keras model with one image input and convolutions of two
                dimensions (masked or not), channels last.
            images: Array of numbers (n, height, width, channels): the training images,
                not augmented. Also (n, height, width), or (n, frames, height, width,
                channels) for models of videos. Patches have all channels, as
                `preprocess` returns them; for what selective search sees, see
                `tfsupermask.patches.rgb_of`.
            labels: int array (n,) or (n, 1), the class of each image, at least 0.
            preprocess: Function from a batch of images to what the model takes.
                Defaults to a cast to float32.
            progress_dir: Folder in which to keep the layers that are done. The same
                call on the same model and images goes on behind them. Defaults to
                `None`, which keeps nothing.

        Returns:
            What was done to each layer, and where every pattern comes from.

        Raises:
            InputError: The model has no such convolution or lacks one that `only`
                names, the images or labels do not fit, a layer has more filters than
                there are clusters, or the images offer fewer than `num_patches` patches
                or too few that vary, also in the variant's `filter_space`. The model
                is unchanged then.
        """
        preprocess = preprocess or np.float32
        labels, first = check_images(model, images, labels, preprocess)
        order = p.class_balanced_order(labels, derive_seed(self.seed, "images"))
        names = convolutions_in(model)
        watched = [*names, *normalisations_in(model._flatten_layers())]
        dense = self.forward == "dense"
        with dense_forward(model) if dense else contextlib.nullcontext():
            trace = Trace(model, watched, first)
            convolutions, skipped, last = find_convolutions(names, trace, self.only)
            plans = [plan_layer(self, each, last) for each in convolutions]
            progress = Progress(progress_dir, {**self._identity(), "skipped": skipped})
            sample = order[:_STATISTICS_IMAGES]
            kernels = [each.kernel.variable for each in convolutions]
            with (
                maps_before(trace, images, sample, preprocess) as maps_before_layer,
                restored(kernels, unless_done=True),
                Work(plans, progress, self.verbose) as work,
            ):
                algorithm_1(self, work, images, labels, order, maps_before_layer)
        return PatchesInitReport(tuple(work.reports), skipped)

    def _identity(self):
        """Returns the options that decide the result, in one dictionary."""
        options = dataclasses.asdict(self)
        variant = options.pop("variant")
        del options["verbose"]
        return options | variant


@dataclasses.dataclass(frozen=True)
class SimpleInit(PatchesInit):
    """PatchesInit with as many clusters as filters and no selection (§5.6.1).

    Args:
        num_patches: P, at least the number of filters. Defaults to 10,000.
        seed: Non-negative integer. Defaults to 0.
        forward: `"dense"` (default) or `"masked"`; this and the rest as in
            `PatchesInit`.
        only: Names of the convolutions to set. Defaults to all.
        verbose: Whether to show a progress bar. Defaults to `False`.
        num_components: Defaults to 27.
        double_from: The first convolution with twice as many patches. Defaults to none.
        variant: How it differs from the thesis. Defaults to nothing.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> report = SimpleInit(num_patches=2000).apply(model, images, labels)
        >>> [layer.layer for layer in report.layers]
        ['conv1', 'conv2']

    Reference:
        - Thesis §5.6.1.
    """

    num_patches: int = 10_000
    num_clusters: None = dataclasses.field(default=None, init=False)
    discriminative_from: None = dataclasses.field(default=None, init=False)


def _counted(patches, survey, layer):
    """Returns the patches that count, their survey, and which may be patterns."""
    usable, counted = survey.not_flat, survey.counted
    wanted = 1 if layer.repeats else layer.num_patterns
    left_out = len(counted) - int(counted.sum())
    if usable.sum() < wanted:
        raise fail(
            f"The {len(usable)} patches of layer '{layer.convolution.name}' must "
            f"include {wanted} that are finite and not flat, one for each filter.",
            usable=int(usable.sum()),
            not_finite=left_out,
        )
    if not left_out:
        return patches, survey, usable
    warnings.warn(
        f"Layer '{layer.convolution.name}': {left_out} of {len(patches)} patches were "
        "left out, as they have values that are not finite, or are far larger than all "
        "others.",
        stacklevel=4,
    )
    return patches.only(counted), survey.only(counted), usable[counted]


def _linear(variant, points, clusters, patches, sizes, layer):
    """Returns the ranking of a variant that selects by a linear classifier."""
    if variant.select != "linear":
        return None
    large = sizes >= p.MIN_CLUSTER_SIZE
    source = patches.image, patches.labels
    return p.linear_ranking(points, clusters, *source, large, layer.num_patterns)


def _repeated(selected, sizes, layer):
    """Returns the selected clusters, over and over where patterns may repeat."""
    if not layer.repeats:
        return selected
    large = selected[sizes[selected] >= p.MIN_CLUSTER_SIZE]
    return np.resize(large if len(large) else selected, layer.num_patterns)


def _filled_up(patterns, sizes, usable, layer):
    """Returns one patch for each pattern: single ones where clusters ran out."""
    missing, large = layer.num_patterns - len(patterns), sizes >= p.MIN_CLUSTER_SIZE
    if missing:
        unused = np.setdiff1d(np.flatnonzero(usable), patterns)
        generator = np.random.Generator(np.random.Philox(layer.seed("added")))
        added = generator.choice(unused, missing, replace=False)
        patterns = np.concatenate([patterns, added])
    if missing or (layer.selects and not large.all()):
        warnings.warn(
            f"Layer '{layer.convolution.name}' needs {layer.num_patterns} clusters of "
            f"at least {p.MIN_CLUSTER_SIZE} patches: {int(large.sum())} were found, "
            f"{int((~large).sum())} smaller clusters and {missing} single patches "
            "fill the rest.",
            stacklevel=4,
        )
    return patterns
