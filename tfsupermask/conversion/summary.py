"""What is masked in a model and what else is trained, as a table."""

from __future__ import annotations

import math

import keras

from tfsupermask.layers import masked_weights
from tfsupermask.layers.walking import check_built, leaves


def summary(model: keras.Model) -> str:
    """Returns a table of a model's masked weights and of all else that is trained.

    Args:
        model: Built Keras model.

    Returns:
        A row for each masked weight: layer and kernel, class, shape, number of weights,
        fraction that the mask removes, number kept. Then a row for each layer with
        trainable weights that have no mask (biases of supermask layers too) with their
        number. Scores count as masks, not as weights. Print it.

    Raises:
        InputError: `model` is not a built model.

    Example:
        >>> from tfsupermask.layers import SupermaskDense
        >>> hidden = SupermaskDense(100, name="hidden", sparsity=0.7)
        >>> top = keras.layers.Dense(2, name="top")
        >>> print(summary(keras.Sequential([keras.Input((8,)), hidden, top])))
        masked weight  class           shape  weights  sparsity  kept
        hidden/kernel  SupermaskDense  8×100      800     0.700   240
        total                                     800     0.700   240
        <BLANKLINE>
        trained without mask  class  weights
        top                   Dense      202
        total                            202
    """
    check_built(model)
    masked = [weight for weight in masked_weights(model) if weight.layer.built]
    tables = [_masked_table(masked)] if masked else []
    if unmasked := _unmasked_rows(model, masked):
        tables.append(_unmasked_table(unmasked))
    return "\n\n".join(tables)


def _masked_table(weights):
    rows = []
    for weight in weights:
        texts = (weight.name, type(weight.layer).__name__, _shape(weight.kernel.shape))
        rows.append((*texts, *_counts(weight.num_weights, weight.num_kept)))
    size = sum(weight.num_weights for weight in weights)
    kept = sum(weight.num_kept for weight in weights)
    heads = ("masked weight", "class", "shape", "weights", "sparsity", "kept")
    return _table(heads, rows, ("total", "", "", *_counts(size, kept)))


def _unmasked_rows(model, masked):
    """Returns (name, class, number of weights) of what is trained without a mask."""
    trained = {id(each): math.prod(each.shape) for each in model.trainable_weights}
    for weight in masked:
        trained.pop(id(weight.score), None)
    # The model last: it holds what no layer in it does.
    rows = [
        (layer, sum(trained.pop(id(each), 0) for each in layer.trainable_weights))
        for layer in [*leaves(model), model]
    ]
    return [(layer.name, type(layer).__name__, size) for layer, size in rows if size]


def _unmasked_table(rows):
    total = sum(size for *_, size in rows)
    lines = [(name, kind, f"{size:,}") for name, kind, size in rows]
    heads = ("trained without mask", "class", "weights")
    return _table(heads, lines, ("total", "", f"{total:,}"))


def _table(heads, rows, total):
    """Returns aligned lines, texts to the left and numbers to the right."""
    lines = [heads, *rows, total]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [bool(cell) and cell[0].isdigit() for cell in total]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _shape(shape):
    return "×".join(map(str, shape))


def _counts(size, kept):
    return f"{size:,}", f"{1 - kept / size:.3f}", f"{kept:,}"
