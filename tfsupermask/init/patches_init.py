"""PatchesInit: Algorithm 1 of the thesis."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from tfsupermask import patches as p
from tfsupermask._validation import check_choice, check_integer, check_number, fail
from tfsupermask.init.activations import (
    Activations,
    batch_statistics,
    forward_mode,
    one_channel_each,
)
from tfsupermask.init.baselines import sparsities_of
from tfsupermask.init.checking import as_float32, check_images
from tfsupermask.init.convolutions import convolutions_in, find_convolutions
from tfsupermask.init.finding import normalisations_in
from tfsupermask.init.progress import Progress
from tfsupermask.init.report import LayerReport, PatchesInitReport, Stages
from tfsupermask.init.tracing import Trace
from tfsupermask.init.undoing import restored
from tfsupermask.ops import derive_seed
from tfsupermask.patches.reduction import NUM_COMPONENTS

FORWARDS = ("dense", "masked")
_STATISTICS_IMAGES = 250
_PASSES = 3  # over a layer's patches: survey, projection, clustering


def check_share(name: str, value: float) -> float:
    """Returns `value` as a float, which must be in (0, 1]."""
    if check_number(name, value, above=True) > 1:
        raise fail(f"`{name}` must be at most 1.", **{name: value})
    return float(value)


class PatchesInit:
    """Initialises convolutions with patterns found in the training images.

    By default it is the thesis's, and the options from `cluster_space` on are its
    family: what is grouped, which groups are chosen, and what becomes of a pattern.

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
        InputError: An argument is out of range.

    Example:
        >>> report = PatchesInit(num_patches=2000, num_clusters=100, seed=0).apply(
        ...     model, images, labels, preprocess=lambda batch: np.float32(batch) / 255
        ... )
        >>> print(report)
        layer         clusters  kept  filters  mean entropy  smallest  seconds
        conv1 ...
        conv2 ...

    Reference:
        - Thesis §4, Algorithm 1.
        - Coates and Ng, 2012, "Learning feature representations with k-means": patches
          minus their mean, whitened and grouped by direction.
        - Ramanujan et al., 2020: Kaiming's variance, its correction, and signs at one
          magnitude, for frozen weights that are drawn.
    """

    def __init__(
        self,
        num_patches: int = 50_000,
        num_clusters: int | None = 500,
        discriminative_from: int | None = None,
        seed: int = 0,
        forward: str = "dense",
        only: Sequence[str] | None = None,
        verbose: bool = False,
        num_components: int = NUM_COMPONENTS,
        double_from: int | None = None,
        cluster_space: str = "raw",
        filter_space: str = "raw",
        select: str = "entropy",
        pattern_fraction: float = 1.0,
        scale: str = "xavier",
        fan_correction: bool = False,
        signs_only: bool = False,
    ):
        self.num_patches = check_integer("num_patches", num_patches, minimum=1)
        self.num_clusters = num_clusters
        if num_clusters is not None:
            check_integer("num_clusters", num_clusters, minimum=1)
            if num_clusters > num_patches:
                raise fail(
                    "`num_clusters` must be at most `num_patches`.",
                    num_clusters=num_clusters,
                    num_patches=num_patches,
                )
        self.discriminative_from = discriminative_from
        if discriminative_from is not None:
            check_integer("discriminative_from", discriminative_from, minimum=1)
        self.seed = check_integer("seed", seed)
        self.forward = check_choice("forward", forward, FORWARDS)
        self.only = None if only is None else list(only)
        self.verbose = verbose
        self.num_components = check_integer("num_components", num_components, minimum=1)
        if double_from is not None:
            double_from = check_integer("double_from", double_from, minimum=1)
        self.double_from = double_from
        self.cluster_space = check_choice("cluster_space", cluster_space, p.SPACES)
        self.filter_space = check_choice("filter_space", filter_space, p.SPACES)
        self.select = check_choice("select", select, p.SELECTIONS)
        self.pattern_fraction = check_share("pattern_fraction", pattern_fraction)
        self.scale = check_choice("scale", scale, p.SCALES)
        self.fan_correction = bool(fan_correction)
        self.signs_only = bool(signs_only)

    def apply(
        self,
        model: keras.Model,
        images: np.ndarray,
        labels: np.ndarray,
        preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
        progress_dir: Path | None = None,
    ) -> PatchesInitReport:
        """Sets the kernels of the model's convolutions, in the order of their calls.

        They may be anywhere in the model: in models inside it, in wrappers such as
        `TimeDistributed`, in layers of one's own. Of a layer that is called several
        times the first call counts. Filters of a depthwise kernel, also in a separable
        convolution, see one channel each: so do their patches, and where there are more
        such filters than clusters of at least 5 patches, the best clusters serve again.

        Dense layers and 1x1, grouped and transposed convolutions stay as they are. The
        report names what was skipped and why, but for dense layers.

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
                or too few that vary, also in `filter_space`. The model is unchanged
                then.
        """
        labels = check_images(model, images, labels)
        preprocess = preprocess or as_float32
        names = convolutions_in(model)
        watched = [*names, *normalisations_in(model._flatten_layers())]
        with forward_mode(model, self.forward):
            trace = Trace(model, watched, preprocess(images[:1]))
        # Not in there, as masks of a dense forward pass keep everything.
        convolutions, skipped, last = find_convolutions(
            names, trace, self.only, sparsities_of(model)
        )
        self._check_filters(convolutions)
        order = p.class_balanced_order(labels, derive_seed(self.seed, "images"))
        settings = {k: v for k, v in vars(self).items() if k != "verbose"}
        progress = Progress(progress_dir, {**settings, "skipped": skipped})
        activations = Activations(trace, images, preprocess)
        reports = []
        with (
            forward_mode(model, self.forward),
            batch_statistics(
                trace, images[order[:_STATISTICS_IMAGES]], preprocess
            ) as update_statistics,
            restored([each.kernel.variable for each in convolutions], unless_done=True),
            tqdm(
                total=_PASSES * sum(map(self._num_patches, convolutions)),
                unit=" patches",
                unit_scale=True,
                disable=None if self.verbose else True,
                leave=False,
            ) as bar,
        ):
            for place, convolution in enumerate(convolutions, start=1):
                bar.set_description(f"PatchesInit {place}/{len(convolutions)}")
                kernel = convolution.kernel.variable
                report = progress.restore(convolution.number, kernel)
                if report is None:
                    update_statistics(convolution.layer)
                    maps_of = activations.before(convolution.layer)
                    if convolution.depthwise:
                        seed = derive_seed(self.seed, "channels", convolution.number)
                        maps_of = one_channel_each(maps_of, seed)
                    sample = functools.partial(
                        p.sample_patches, images, labels, order, activations=maps_of
                    )
                    first = self.discriminative_from or last
                    report = self._initialize(
                        convolution, convolution.number >= first, sample, bar
                    )
                    progress.save(convolution.number, kernel, report)
                else:
                    bar.total -= _PASSES * self._num_patches(convolution)
                reports.append(report)
        return PatchesInitReport(tuple(reports), skipped)

    def _initialize(self, convolution, discriminative, sample, bar):
        """Sets one layer's filters: the body of Algorithm 1's loop."""
        name, wanted = convolution.name, self._num_patterns(convolution)
        stages = Stages(lambda stage: bar.set_postfix_str(f"{name}, {stage}"))

        # Step 1: extract patches from the training data
        stages.begin("extract")
        patches = sample(
            convolution.window,
            self._num_patches(convolution),
            derive_seed(self.seed, "patches", convolution.number),
            from_boxes=convolution.number == 1,
        )
        survey = p.survey(_counted(patches.blocks(), bar))
        usable = _usable(survey, name, 1 if self._may_repeat(convolution) else wanted)
        finite = np.isfinite(survey.deviation)
        if not finite.all():
            patches, survey = patches.only(finite), survey.only(finite)
            usable = usable[finite]

        # Step 2: cluster patches and form patterns
        stages.begin("reduce")
        points = p.coordinates(
            _counted(patches.blocks(), bar),
            survey,
            self.num_components,
            self.cluster_space,
        )
        stages.begin("cluster")
        clusters = p.cluster(
            points,
            self._num_clusters(convolution) or wanted,
            derive_seed(self.seed, "kmeans", convolution.number),
        )
        bar.update(len(patches))
        stages.begin("select")
        chosen, selection = self._form_patterns(
            patches.labels, usable, clusters, convolution, discriminative
        )
        patterns = patches.take(chosen)

        # Step 3: initialise filter weights from patterns
        stages.begin("assign")
        patterns = p.to_space(patterns, survey, self.filter_space)
        self._assign(convolution, patterns)

        return LayerReport(
            layer=name,
            discriminative=discriminative and self.select == "entropy",
            num_patches=len(patches),
            image=patches.image[chosen],
            row=patches.row[chosen],
            column=patches.column[chosen],
            seconds=stages.end(),
            **selection,
        )

    def _assign(self, convolution, patterns):
        """Makes the patterns the first of the layer's filters."""
        kernel = convolution.kernel.variable
        filters = kernel.numpy().reshape(convolution.shape)
        filters[..., : len(patterns)] = p.scale_patterns(
            patterns,
            *convolution.kernel.fans,
            self.scale,
            sparsity=convolution.sparsity if self.fan_correction else 0.0,
            signs_only=self.signs_only,
        )
        kernel.assign(filters.reshape(kernel.shape))

    def _num_patterns(self, convolution):
        return max(1, round(self.pattern_fraction * convolution.shape[-1]))

    def _may_repeat(self, convolution):
        """Whether a pattern may become several filters: those of different channels."""
        return convolution.depthwise and self.num_clusters is not None

    def _factor(self, convolution):
        """Returns by what P and C are multiplied in a layer."""
        return 2 if convolution.number >= (self.double_from or np.inf) else 1

    def _num_patches(self, convolution):
        return self._factor(convolution) * self.num_patches

    def _num_clusters(self, convolution):
        return self.num_clusters and self._factor(convolution) * self.num_clusters

    def _check_filters(self, convolutions):
        """Raises unless there may be a cluster for each filter of every layer."""
        limit = "num_patches" if self.num_clusters is None else "num_clusters"
        for each in convolutions:
            factor, wanted = self._factor(each), self._num_patterns(each)
            if self._may_repeat(each):
                continue
            if wanted > factor * getattr(self, limit):
                raise fail(
                    f"{'Twice ' if factor == 2 else ''}`{limit}` must be at least the "
                    f"{wanted} filters of layer '{each.name}'.",
                    **{limit: getattr(self, limit)},
                )

    def _form_patterns(self, labels, usable, clusters, convolution, discriminative):
        """Returns which patch becomes each filter, and the statistics of the choice."""
        num_clusters, wanted = len(clusters.centroids), self._num_patterns(convolution)
        sizes = p.cluster_sizes(clusters.assignment, num_clusters)
        entropy = p.cluster_entropy(clusters.assignment, labels, num_clusters)
        nearest = p.nearest_patches(clusters, usable)
        selected = p.select_clusters(
            entropy,
            np.where(nearest >= 0, sizes, 0),
            wanted,
            discriminative=discriminative,
            select=self.select,
            seed=derive_seed(self.seed, "select", convolution.number),
        )
        if self._may_repeat(convolution):
            large = selected[sizes[selected] >= p.MIN_CLUSTER_SIZE]
            selected = np.resize(large if len(large) else selected, wanted)
        patterns, small = nearest[selected], sizes[selected] < p.MIN_CLUSTER_SIZE
        missing = wanted - len(patterns)
        if missing:
            unused = np.setdiff1d(np.flatnonzero(usable), patterns)
            seed = derive_seed(self.seed, "added", convolution.number)
            generator = np.random.Generator(np.random.Philox(seed))
            added = generator.choice(unused, missing, replace=False)
            patterns = np.concatenate([patterns, added])
        if missing or (self.num_clusters and small.any()):
            warnings.warn(
                f"Layer '{convolution.name}' needs {wanted} clusters of at least "
                f"{p.MIN_CLUSTER_SIZE} patches: {int((~small).sum())} were found, "
                f"{int(small.sum())} smaller clusters and {missing} single patches "
                "fill the rest.",
                stacklevel=4,
            )
        return patterns, {
            "num_clusters": int((sizes > 0).sum()),
            "clusters_kept": int((sizes >= p.MIN_CLUSTER_SIZE).sum()),
            "sizes": sizes[selected],
            "entropies": entropy[selected],
            "added_patches": missing,
        }


def _counted(blocks, bar):
    for block in blocks:
        yield block
        bar.update(len(block))


def _usable(survey, name, wanted):
    """Returns which patches may become filters; there must be one for each filter."""
    usable = p.not_flat(survey)
    if usable.sum() < wanted:
        raise fail(
            f"The {len(usable)} patches of layer '{name}' must include "
            f"{wanted} that are finite and not flat, one for each filter.",
            usable=int(usable.sum()),
        )
    return usable
