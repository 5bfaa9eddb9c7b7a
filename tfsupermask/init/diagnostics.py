"""How varied a layer's filters and outputs are, and how large its activations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from tfsupermask._text import aligned
from tfsupermask.init.observing import check_array, watched
from tfsupermask.layers import kernels_of
from tfsupermask.layers.walking import check_built, named_layers
from tfsupermask.patches.ranges import mean_square


@dataclasses.dataclass(frozen=True)
class LayerDiagnosis:
    """One layer; its output is that before bias and activation.

    Attributes:
        layer: Name of the layer, its path where two agree.
        num_filters: Number of filters, or units.
        cosine: Mean absolute cosine between two of its filters, in [0, 1]: 0 for
            orthogonal ones and a single one, 1 where all are the same but for sign and
            size.
        filter_rank: Effective rank of the filters.
        output_rank: Effective rank of the output over images and positions.
        output_scale: Root mean square of the output.

    Example:
        >>> LayerDiagnosis("conv1", 64, 0.2, 20.5, 7.1, 1.0).cosine
        0.2
    """

    layer: str
    num_filters: int
    cosine: float
    filter_rank: float
    output_rank: float
    output_scale: float


class Diagnosis(tuple[LayerDiagnosis, ...]):
    """The diagnoses of a model's layers in forward order; `print` makes a table.

    Example:
        >>> print(Diagnosis([LayerDiagnosis("conv1", 64, 0.2, 20.5, 7.1, 1.0)]))
        layer         filters  |cosine|  filter rank  output rank  output scale
        conv1              64     0.200         20.5          7.1             1
    """

    def __str__(self) -> str:
        heads = ("layer", "filters", "|cosine|", "filter rank", "output rank")
        lines = [(*heads, "output scale")]
        for each in self:
            ranks = f"{each.filter_rank:.1f}", f"{each.output_rank:.1f}"
            filters, scale = str(each.num_filters), f"{each.output_scale:.4g}"
            lines.append((each.layer, filters, f"{each.cosine:.3f}", *ranks, scale))
        return aligned(lines, "<>>>>>", widths=(12,))


def diagnose(
    model: keras.Model,
    images: np.ndarray,
    preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Diagnosis:
    """Measures diversity and scale, layer by layer.

    Filters are measured without their masks, outputs with them. Batch normalisations
    use the statistics of these images.

    Args:
        model: Any built Keras model, masked or not. The second kernel counts if a layer
            has two, and the first call if it has several.
        images: Array (n, ...), a sample of a few hundred images; all are computed at
            once.
        preprocess: Function from a batch of images to what the model takes. Defaults
            to a cast to float32.

    Returns:
        The diagnoses, in forward order.

    Raises:
        InputError: The model is not built, there are no images, or a layer's output is
            not finite.

    Example:
        >>> [(layer.layer, layer.num_filters) for layer in diagnose(model, images)][:2]
        [('conv1', 64), ('conv2', 64)]

    Reference:
        - Roy and Vetterli, 2007, "The effective rank".
    """
    check_built(model)
    images = np.array(images)
    check_array(images)
    preprocess = preprocess or np.float32
    found = {}

    def measure(layer, product):
        if layer not in found:
            found[layer] = _of_output(layer, product())

    with watched(model, measure):
        model(preprocess(images), training=False)
    names = named_layers(model, found.__contains__)
    # Not in the forward pass, where masks may be applied to the kernels.
    return Diagnosis(
        LayerDiagnosis(names[layer], *_of_filters(layer), *measures)
        for layer, measures in found.items()
    )


def effective_rank(matrix: np.ndarray) -> float:
    """Returns exp of the entropy of the singular values; 0 for a matrix of zeros."""
    matrix = np.asarray(matrix, np.float64)
    wide = matrix.shape[0] < matrix.shape[1]
    squares = np.linalg.eigvalsh(matrix @ matrix.T if wide else matrix.T @ matrix)
    # Squares of less than that are rounding.
    rounding = squares.max() * len(squares) * np.finfo(np.float64).eps
    singular = np.sqrt(squares[squares > rounding])
    if not len(singular):
        return 0.0
    share = singular / singular.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def mean_cosine(filters: np.ndarray) -> float:
    """Returns the mean absolute cosine between two rows, 0 with a row of zeros."""
    count = len(filters)
    if count < 2:
        return 0.0
    filters = np.asarray(filters, np.float64)
    lengths = np.linalg.norm(filters, axis=1, keepdims=True)
    units = np.divide(filters, lengths, out=np.zeros_like(filters), where=lengths > 0)
    cosines = np.abs(units @ units.T)
    return float((cosines.sum() - cosines.trace()) / (count * (count - 1)))


def _of_output(layer, product):
    """Returns the effective rank of a layer's output and its root mean square."""
    if getattr(layer, "data_format", None) == "channels_first":
        product = np.moveaxis(product, 1, -1)
    outputs = product.reshape(-1, product.shape[-1])
    return effective_rank(outputs), mean_square(outputs) ** 0.5


def _of_filters(layer):
    """Returns the number of a layer's filters, their cosine and effective rank."""
    filters = kernels_of(layer)[-1].as_matrix().T
    return len(filters), mean_cosine(filters), effective_rank(filters)
