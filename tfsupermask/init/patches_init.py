"""PatchesInit: Algorithm 1 of the thesis."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfsupermask import patches as p
from tfsupermask._validation import check_choice, check_integer, fail
from tfsupermask.init.report import LayerReport, PatchesInitReport
from tfsupermask.layers import dense_forward
from tfsupermask.ops import compute_fans, derive_seed

FORWARDS = ("dense", "masked")


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
        seed: Non-negative integer.
        forward: `"dense"` (default) lets all weights of earlier layers take part in
            the activations that patches come from, `"masked"` only those of the model's
            initial, still random, mask.
        verbose: Whether to show a progress bar.

    Raises:
        InputError: An argument is out of range.

    Example:
    >>> model = tfsupermask.models.build("conv6", num_classes=10)
    >>> report = PatchesInit(num_patches=10_000, seed=0).apply(
    ...     model, images, labels, preprocess=lambda x: (x / 255 - mean) / std)
    >>> print(report)

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
        verbose: bool = False,
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
        self.verbose = verbose

    def apply(
        self,
        model: keras.Model,
        images: np.ndarray,
        labels: np.ndarray,
        preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
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

        Returns:
            What was done to each layer, and where every pattern comes from.

        Raises:
            InputError: The model has no such convolution, the images do not fit it,
                a layer has more filters than there are clusters, or the images offer
                fewer than `num_patches` patches or too few that vary. The model is
                unchanged then.
        """
        convolutions, skipped = self._convolutions(model)
        labels = _check_images(model, images, labels)
        preprocess = preprocess or (lambda batch: batch.astype(np.float32))
        first_discriminative = self.discriminative_from or len(convolutions)
        order = p.class_balanced_order(labels, derive_seed(self.seed, "images"))
        reports = []
        with _forward_mode(model, self.forward), _all_or_nothing(convolutions):
            bar = tqdm(
                convolutions,
                "PatchesInit",
                disable=None if self.verbose else True,
                leave=False,
            )
            for index, layer in enumerate(bar, start=1):
                bar.set_postfix_str(layer.name)
                stage = Stopwatch()

                # Step 1: extract patches from the training data
                patches = p.sample_patches(
                    images,
                    labels,
                    order,
                    _window(layer),
                    self.num_patches,
                    derive_seed(self.seed, "patches", index),
                    from_boxes=index == 1,
                    activations=_layer_input(model, layer, preprocess),
                )
                usable = _usable(patches, layer)
                stage.done("extract")

                # Step 2: cluster patches and form patterns
                projections = p.reduce_dimensionality(
                    patches.values, derive_seed(self.seed, "pca", index)
                )
                stage.done("reduce")
                clusters = p.cluster(
                    projections,
                    self.num_clusters or layer.filters,
                    derive_seed(self.seed, "kmeans", index),
                )
                stage.done("cluster")
                discriminative = index >= first_discriminative
                patterns, selection = self._form_patterns(
                    patches, usable, clusters, layer, index, discriminative
                )
                stage.done("select")

                # Step 3: initialise filter weights from patterns
                fans = compute_fans(layer.kernel.shape)
                layer.kernel.assign(p.scale_patterns(patches.values[patterns], *fans))
                stage.done("assign")

                reports.append(
                    LayerReport(
                        layer=layer.name,
                        discriminative=discriminative,
                        num_patches=len(patches),
                        image=patches.image[patterns],
                        row=patches.row[patterns],
                        column=patches.column[patterns],
                        seconds=stage.seconds,
                        **selection,
                    )
                )
        return PatchesInitReport(tuple(reports), skipped)

    def _convolutions(self, model):
        """Returns the convolutions to set, in forward order, and why others are not."""
        found, skipped = [], {}
        for layer in model.layers:
            if hasattr(layer, "layers"):
                skipped[layer.name] = "nested model"
            elif not isinstance(layer, keras.layers.Conv2D):
                continue
            elif layer.kernel_size == (1, 1):
                skipped[layer.name] = "1x1 convolution"
            elif layer.groups > 1:
                skipped[layer.name] = "grouped convolution"
            elif layer.data_format != "channels_last":
                skipped[layer.name] = "channels first"
            else:
                found.append(layer)
        if not found:
            raise fail(
                "`model` must have a Conv2D layer larger than 1x1, ungrouped and "
                "channels last.",
                model=model.name,
                skipped=skipped,
            )
        limit = "num_patches" if self.num_clusters is None else "num_clusters"
        for layer in found:
            if layer.filters > getattr(self, limit):
                raise fail(
                    f"`{limit}` must be at least the {layer.filters} filters of layer "
                    f"'{layer.name}'.",
                    **{limit: getattr(self, limit)},
                )
        return found, skipped

    def _form_patterns(self, patches, usable, clusters, layer, index, discriminative):
        """Returns which patch becomes each filter, and the statistics of the choice."""
        num_clusters = len(clusters.centroids)
        sizes = p.cluster_sizes(clusters.assignment, num_clusters)
        entropy = p.cluster_entropy(clusters.assignment, patches.labels, num_clusters)
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
            seed = derive_seed(self.seed, "added", index)
            generator = np.random.Generator(np.random.Philox(seed))
            added = generator.choice(unused, missing, replace=False)
            patterns = np.concatenate([patterns, added])
        if missing or (self.num_clusters and small.any()):
            warnings.warn(
                f"Layer '{layer.name}' needs {layer.filters} clusters of at least "
                f"{p.MIN_CLUSTER_SIZE} patches: {int((~small).sum())} were found, "
                f"{int(small.sum())} smaller clusters and {missing} single patches "
                "fill the rest.",
                stacklevel=3,
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
        seed: Non-negative integer.
        forward: `"dense"` (default) or `"masked"`, see `PatchesInit`.
        verbose: Whether to show a progress bar.

    Example:
    >>> SimpleInit(seed=0).apply(model, images, labels)

    Reference:
        - Thesis §5.6.1.
    """

    def __init__(
        self,
        num_patches: int = 10_000,
        seed: int = 0,
        forward: str = "dense",
        verbose: bool = False,
    ):
        super().__init__(
            num_patches, num_clusters=None, seed=seed, forward=forward, verbose=verbose
        )


class Stopwatch:
    """Seconds between one `done` and the next, by stage name."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, stage: str) -> None:
        """Books the time since the last call under `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


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


def _forward_mode(model, forward):
    return dense_forward(model) if forward == "dense" else contextlib.nullcontext()


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


def _usable(patches, layer):
    """Returns which patches may become filters; there must be one for each filter."""
    usable = p.not_flat(patches.values)
    if usable.sum() < layer.filters:
        raise fail(
            f"The {len(patches)} patches of layer '{layer.name}' must include "
            f"{layer.filters} that are finite and not flat, one for each filter.",
            usable=int(usable.sum()),
        )
    return usable


def _window(layer) -> p.Window:
    return p.Window(
        layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate
    )


def _layer_input(model, layer, preprocess):
    """Returns a function from a batch of images to the maps that `layer` receives."""
    until_layer = keras.Model(model.inputs, layer.input)

    def activations(images):
        maps = until_layer(tf.convert_to_tensor(preprocess(images)), training=False)
        return tf.cast(maps, tf.float32).numpy()

    return activations
