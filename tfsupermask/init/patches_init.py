"""PatchesInit: Algorithm 1 of the thesis."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfsupermask import patches as p
from tfsupermask._validation import check_choice, check_integer, fail
from tfsupermask.init.activations import Activations, batch_statistics, forward_mode
from tfsupermask.init.convolutions import find_convolutions
from tfsupermask.init.progress import Progress
from tfsupermask.init.report import LayerReport, PatchesInitReport, Stages
from tfsupermask.ops import compute_fans, derive_seed
from tfsupermask.patches.reduction import NUM_COMPONENTS

FORWARDS = ("dense", "masked")
_STATISTICS_IMAGES = 250
_PASSES = 3  # over a layer's patches: survey, projection, clustering


class PatchesInit:
    """Initialises convolutions with patterns found in the training images.

    Args:
        num_patches: P, patches sampled for each layer, at least 1. Defaults to 50,000.
        num_clusters: C, clusters they are grouped into, at least the number of filters
            of every layer. Defaults to 500. `None` makes as many clusters as the layer
            has filters and uses them all, without selection (SimpleInit, §5.6.1).
        discriminative_from: D, the first convolution, counted from 1, that selects
            clusters of low entropy. Defaults to the last one. A number beyond the last
            makes all layers select clusters of high entropy.
        seed: Non-negative integer. Defaults to 0.
        forward: `"dense"` (default) lets all weights of earlier layers take part in
            the activations that patches come from, `"masked"` only those of the model's
            initial, still random, mask.
        only: Names of the convolutions to set; the others stay as they are
            (Partial-PatchesInit, §5.5). Defaults to all of them.
        verbose: Whether to show a progress bar. Defaults to `False`.
        num_components: Dimensions to which PCA reduces patches before they are
            clustered, at least 1. Defaults to 27; patches of fewer values keep all.
        double_from: The first convolution, counted from 1, from which on P and C are
            twice as large (§8.3). Defaults to `None`: none.

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

    def apply(
        self,
        model: keras.Model,
        images: np.ndarray,
        labels: np.ndarray,
        preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
        progress_dir: Path | None = None,
    ) -> PatchesInitReport:
        """Sets the kernels of the model's convolutions, in forward order.

        Dense layers, 1x1 convolutions, grouped convolutions and models inside the model
        stay as they are. The report names what was skipped, but for dense layers.

        Args:
            model: Functional or Sequential Keras model with one image input and
                `Conv2D` layers (masked or not), channels last.
            images: uint8 array (n, height, width, 3), RGB: the training images, not
                augmented.
            labels: int array (n,), the class of each image, at least 0.
            preprocess: Function from a batch of images to what the model takes.
                Defaults to a cast to float32.
            progress_dir: Folder in which to keep the layers that are done. The same
                call on the same model and images goes on behind them. Defaults to
                `None`, which keeps nothing.

        Returns:
            What was done to each layer, and where every pattern comes from.

        Raises:
            InputError: The model has no such convolution or lacks one that `only`
                names, the images do not fit it, a layer has more filters than there
                are clusters, or the images offer fewer than `num_patches` patches or
                too few that vary. The model is unchanged then.
        """
        numbered, skipped, last = find_convolutions(model, self.only)
        self._check_filters(numbered)
        labels = _check_images(model, images, labels)
        preprocess = preprocess or (lambda batch: batch.astype(np.float32))
        order = p.class_balanced_order(labels, derive_seed(self.seed, "images"))
        settings = {k: v for k, v in vars(self).items() if k != "verbose"}
        progress = Progress(progress_dir, {**settings, "skipped": skipped})
        activations = Activations(model, images, preprocess)
        reports = []
        with (
            forward_mode(model, self.forward),
            batch_statistics(
                model, images[order[:_STATISTICS_IMAGES]], preprocess
            ) as update_statistics,
            _all_or_nothing(list(numbered.values())),
            tqdm(
                total=_PASSES * sum(map(self._num_patches, numbered)),
                unit=" patches",
                unit_scale=True,
                disable=None if self.verbose else True,
                leave=False,
            ) as bar,
        ):
            for number, layer in numbered.items():
                bar.set_description(f"PatchesInit {len(reports) + 1}/{len(numbered)}")
                report = progress.restore(number, layer)
                if report is None:
                    update_statistics(layer)
                    sample = functools.partial(
                        p.sample_patches,
                        images,
                        labels,
                        order,
                        activations=activations.before(layer),
                    )
                    discriminative = number >= (self.discriminative_from or last)
                    report = self._initialize(
                        layer, number, discriminative, sample, bar
                    )
                    progress.save(number, layer, report)
                else:
                    bar.total -= _PASSES * self._num_patches(number)
                reports.append(report)
        return PatchesInitReport(tuple(reports), skipped)

    def _initialize(self, layer, number, discriminative, sample, bar):
        """Sets one layer's filters: the body of Algorithm 1's loop."""
        stages = Stages(lambda name: bar.set_postfix_str(f"{layer.name}, {name}"))

        # Step 1: extract patches from the training data
        stages.begin("extract")
        patches = sample(
            _window(layer),
            self._num_patches(number),
            derive_seed(self.seed, "patches", number),
            from_boxes=number == 1,
        )
        survey = p.survey(_counted(patches.blocks(), bar))
        usable = _usable(survey, layer)

        # Step 2: cluster patches and form patterns
        stages.begin("reduce")
        components = p.principal_components(survey, self.num_components)
        projections = p.project(
            _counted(patches.blocks(), bar), survey.mean, components
        )
        stages.begin("cluster")
        clusters = p.cluster(
            projections,
            self._num_clusters(number) or layer.filters,
            derive_seed(self.seed, "kmeans", number),
        )
        bar.update(len(patches))
        stages.begin("select")
        chosen, selection = self._form_patterns(
            patches.labels, usable, clusters, layer, number, discriminative
        )
        patterns = patches.take(chosen)

        # Step 3: initialise filter weights from patterns
        stages.begin("assign")
        layer.kernel.assign(
            p.scale_patterns(patterns, *compute_fans(layer.kernel.shape))
        )

        return LayerReport(
            layer=layer.name,
            discriminative=discriminative,
            num_patches=len(patches),
            image=patches.image[chosen],
            row=patches.row[chosen],
            column=patches.column[chosen],
            seconds=stages.end(),
            **selection,
        )

    def _factor(self, number):
        """Returns by what P and C are multiplied in the layer of this number."""
        return 2 if number >= (self.double_from or np.inf) else 1

    def _num_patches(self, number):
        return self._factor(number) * self.num_patches

    def _num_clusters(self, number):
        return self.num_clusters and self._factor(number) * self.num_clusters

    def _check_filters(self, numbered):
        """Raises unless there may be a cluster for each filter of every layer."""
        limit = "num_patches" if self.num_clusters is None else "num_clusters"
        for number, layer in numbered.items():
            factor = self._factor(number)
            if layer.filters > factor * getattr(self, limit):
                raise fail(
                    f"{'Twice ' if factor == 2 else ''}`{limit}` must be at least the "
                    f"{layer.filters} filters of layer '{layer.name}'.",
                    **{limit: getattr(self, limit)},
                )

    def _form_patterns(self, labels, usable, clusters, layer, number, discriminative):
        """Returns which patch becomes each filter, and the statistics of the choice."""
        num_clusters = len(clusters.centroids)
        sizes = p.cluster_sizes(clusters.assignment, num_clusters)
        entropy = p.cluster_entropy(clusters.assignment, labels, num_clusters)
        nearest = p.nearest_patches(clusters, usable)
        selected = p.select_clusters(
            entropy,
            np.where(nearest >= 0, sizes, 0),
            layer.filters,
            discriminative=discriminative,
        )
        patterns, small = nearest[selected], sizes[selected] < p.MIN_CLUSTER_SIZE
        missing = layer.filters - len(patterns)
        if missing:
            unused = np.setdiff1d(np.flatnonzero(usable), patterns)
            seed = derive_seed(self.seed, "added", number)
            generator = np.random.Generator(np.random.Philox(seed))
            added = generator.choice(unused, missing, replace=False)
            patterns = np.concatenate([patterns, added])
        if missing or (self.num_clusters and small.any()):
            warnings.warn(
                f"Layer '{layer.name}' needs {layer.filters} clusters of at least "
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


class SimpleInit(PatchesInit):
    """PatchesInit with as many clusters as filters and no selection.

    Args:
        num_patches: P, at least the number of filters. Defaults to 10,000.
        seed: Non-negative integer. Defaults to 0.
        forward: `"dense"` (default) or `"masked"`, see `PatchesInit`.
        verbose: Whether to show a progress bar. Defaults to `False`.
        num_components: Defaults to 27, see `PatchesInit`.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> report = SimpleInit(num_patches=2000).apply(model, images, labels)
        >>> [layer.layer for layer in report.layers]
        ['conv1', 'conv2']

    Reference:
        - Thesis §5.6.1.
    """

    def __init__(
        self,
        num_patches: int = 10_000,
        seed: int = 0,
        forward: str = "dense",
        verbose: bool = False,
        num_components: int = NUM_COMPONENTS,
    ):
        options = {"verbose": verbose, "num_components": num_components}
        super().__init__(num_patches, None, seed=seed, forward=forward, **options)


def _check_images(model, images, labels) -> np.ndarray:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise fail(
            "`images` must be a uint8 NumPy array.",
            type=type(images).__name__,
            dtype=getattr(images, "dtype", None),
        )
    inputs = [tuple(tensor.shape) for tensor in getattr(model, "inputs", [])]
    if len(inputs) != 1 or not tf.TensorShape(inputs[0]).is_compatible_with(
        images.shape
    ):
        raise fail(
            "`images` must have the shape of the model's one input.",
            images=images.shape,
            inputs=inputs,
        )
    labels = np.asarray(labels)
    integer = np.issubdtype(labels.dtype, np.integer)
    if not len(images):
        raise fail("`images` must hold at least one image.", shape=images.shape)
    if labels.shape != images.shape[:1] or not integer or labels.min() < 0:
        raise fail(
            f"`labels` must hold one class index of at least 0 for each of the "
            f"{len(images)} images.",
            shape=labels.shape,
            dtype=labels.dtype.name,
        )
    return labels.astype(np.int64)


@contextlib.contextmanager
def _all_or_nothing(layers):
    """Gives the layers their kernels back if the body fails."""
    kernels = [layer.kernel.numpy() for layer in layers]
    try:
        yield
    except BaseException:
        for layer, kernel in zip(layers, kernels, strict=True):
            layer.kernel.assign(kernel)
        raise


def _counted(blocks, bar):
    for block in blocks:
        yield block
        bar.update(len(block))


def _usable(survey, layer):
    """Returns which patches may become filters; there must be one for each filter."""
    usable = p.not_flat(survey)
    if usable.sum() < layer.filters:
        raise fail(
            f"The {len(usable)} patches of layer '{layer.name}' must include "
            f"{layer.filters} that are finite and not flat, one for each filter.",
            usable=int(usable.sum()),
        )
    return usable


def _window(layer) -> p.Window:
    return p.Window(
        layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate
    )
